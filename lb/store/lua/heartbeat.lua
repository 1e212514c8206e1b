-- A worker reports that it lives and whether servers answer it. It learns which workers are dead, and the version of
-- the pool, of which no lease tells it while there is no traffic.
--@include traffic
--@include clock
--@include schema
-- KEYS: workers version worker answered
-- ARGV: worker id, pool version of its snapshot, seconds of silence after which a worker is dead,
--       unix seconds when it last became degraded ('' if it never was) and when that ended ('' if it has not),
--       1 if servers have answered its requests since the last heartbeat
-- Return: {1 or 0 if this worker is unknown (it must register), pool version (0 if there is no pool),
--          id of each dead worker …}; error SCHEMA
local found = redis.call('GET', schema)
if found and found ~= SCHEMA then return refuse(found) end
if ARGV[6] == '1' then redis.call('SET', answered, now, 'PX', 1000 * ARGV[3]) end
local reply = { 0, tonumber(redis.call('GET', version) or 0) }
if redis.call('ZSCORE', workers, ARGV[1]) then
  redis.call('ZADD', workers, now, ARGV[1])
  redis.call('HSET', worker, 'version', ARGV[2], 'degraded_since', ARGV[4], 'degraded_until', ARGV[5])
  reply[1] = 1
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', '(' .. now - ARGV[3])) do
  reply[#reply + 1] = id
end
return reply
