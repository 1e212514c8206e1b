-- A host publishes what its workers have counted since it began: absolute numbers, and only those that have changed.
--@include traffic
--@include clock
-- KEYS: metrics metrics_base metrics_folded metrics_run
-- ARGV: run, number of the publication that this one builds on ('' if it says everything), its own number,
--       1 to have it written to disk, then field, value …
-- Return: 1; 0 if the store holds another publication than that (then say everything);
--         -1 if the run was folded (its hash says how much of it)
if redis.call('ZSCORE', metrics_folded, ARGV[1]) then return -1 end
if ARGV[2] ~= '' and redis.call('HGET', metrics_run, 'number') ~= ARGV[2] then return 0 end

if ARGV[4] == '1' then
  durable()
  redis.call('HSETNX', metrics_base, 'since', now) -- tells hosts that know another time of a loss
end
redis.call('ZADD', metrics, now, ARGV[1])
redis.call('HSET', metrics_run, 'number', ARGV[3])
for first = 5, #ARGV, 1000 do -- no more fit into a call
  redis.call('HSET', metrics_run, unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
return 1
