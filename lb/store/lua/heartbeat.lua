-- A worker reports that it lives and whether servers answer it. It learns which workers are dead, and the version of
-- the pool, of which no lease tells it while there is no traffic. One heartbeat a second looks through the whole pool.
--@include traffic
--@include clock
--@include schema
--@include damage
-- KEYS: workers version worker worker_connections answered connections
-- ARGV: worker id, pool version of its snapshot, seconds of silence after which a worker is dead,
--       unix seconds when it last became degraded ('' if it never was) and when that ended ('' if it has not),
--       1 if servers have answered its requests since the last heartbeat, members of its snapshot ('' if not told),
--       1 if it has requests in flight
-- Return: {1 or 0 if this worker or its counts are unknown or odd (it must register), pool version (0 if there is no pool, or
--          a damaged one), 1 if the sums are to be counted again, id of each dead worker …}; error SCHEMA
local EXAMINE_SECONDS, RECOUNT_SECONDS, FUTURE_SECONDS = 1, 10, 60
local found, at = redis.call('GET', schema), redis.call('GET', version)
if other_schema(found) then return refuse(found) end
if ARGV[6] == '1' then redis.call('SET', answered, now, 'PX', 1000 * ARGV[3]) end
local reply = { 0, pool_version(at) or 0, 0 }
local registered = redis.call('HMGET', worker, 'host', 'pid', 'generation')
if redis.call('ZSCORE', workers, ARGV[1])
  and (registered[1] or '') ~= '' and whole(registered[2]) and whole(registered[3])
  and (ARGV[8] ~= '1' or redis.call('EXISTS', worker_connections) == 1) then
  redis.call('ZADD', workers, now, ARGV[1])
  redis.call('HSET', worker, 'version', ARGV[2], 'degraded_since', ARGV[4], 'degraded_until', ARGV[5])
  reply[1] = 1
end

local function due(name, seconds)
  local last = moment(redis.call('HGET', shape, name))
  if last and math.abs(now - last) < seconds then return false end
  redis.call('HSET', shape, name, now)
  return true
end

local function counts_are_odd()
  for _, id in ipairs(redis.call('ZRANGE', servers, 0, -1)) do
    if not whole(redis.call('HGET', connections, id)) then return true end
  end
end

if reply[2] > 0 then
  local members = at == ARGV[2] and ARGV[7] or ''
  if members ~= '' and members ~= tostring(redis.call('ZCARD', servers)) or not intact() then
    reply[2] = 0
  elseif due('examined', EXAMINE_SECONDS) then
    if damage() then reply[2] = 0 end
    if counts_are_odd() or due('recounted', RECOUNT_SECONDS) then reply[3] = 1 end
  end
end
for _, range in ipairs({ { '-inf', '(' .. now - ARGV[3] }, { '(' .. now + FUTURE_SECONDS, '+inf' } }) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', workers, range[1], range[2])) do reply[#reply + 1] = id end
end
return reply
