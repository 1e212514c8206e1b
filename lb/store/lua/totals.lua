-- Reads what all runs have counted, as of one instant.
--@include clock
-- KEYS: metrics metrics_base
-- The keys of the runs that the caller knows of come after them.
-- Return: {now, the runs there are: {run, unix seconds of its last publication, …},
--          {field, value, …} of the base, then of each run whose key was given}
local columns = { redis.call('HGETALL', metrics_base) }
for i = FURTHER, #KEYS do columns[#columns + 1] = redis.call('HGETALL', KEYS[i]) end
return { now, redis.call('ZRANGE', metrics, 0, -1, 'WITHSCORES'), columns }
