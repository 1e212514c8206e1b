-- A worker says that it lives and whether servers answer, and learns who no longer lives, and where the pool is:
-- without traffic no lease tells it.
--@include traffic
--@include clock
--@include schema
-- KEYS: workers version worker answered
-- ARGV: worker id, pool version that it has applied, seconds after which a silent worker is dead,
--       unix seconds from and until when it last was degraded: '' if it never was, '' if it still is,
--       1 if requests were answered since the last heartbeat
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
