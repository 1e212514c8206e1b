-- Makes the store's counts of a worker what the worker says they are: when it starts, after a lost connection, after it
-- was taken for dead. The numbers are absolute, so doing it twice changes nothing.
--@include traffic
--@include strategies
--@include count
--@include clock
--@include event
--@include schema
--@include damage
-- KEYS: workers worker cycle cursor failures
-- ARGV: worker id, host, pid, unix seconds of its start, generation (which of its registrations this is),
--       then server id and requests in flight for each server
-- Return: pool version (0 if there is no pool, or a damaged one); error OUTDATED if a later one has already arrived, SCHEMA
local FIRST = 6
if other_schema(found) then return refuse(found) end
local id, generation = ARGV[1], redis.call('HGET', worker, 'generation')
if (whole(generation) or 0) > tonumber(ARGV[5]) then
  return redis.error_reply('OUTDATED this worker has registered anew since')
end
local new = not redis.call('ZSCORE', workers, id)
redis.call('ZADD', workers, now, id)
redis.call('HSET', worker, 'host', ARGV[2], 'pid', ARGV[3], 'started', ARGV[4], 'generation', ARGV[5])

-- What is no count would end each batch with an error. The sums are made again from the workers' own; see recount.lua.
for _, counts in ipairs({ connections, worker_connections, failures }) do
  for server, number in pairs(column(counts)) do
    if not whole(number) then redis.call('HDEL', counts, server) end
  end
end
if not whole(redis.call('GET', cursor) or '0') then redis.call('DEL', cursor) end
redis.call('HDEL', shape, 'recounted')

local held = {}
for i = FIRST, #ARGV, 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end
local before = redis.call('HGETALL', worker_connections)
for i = 1, #before, 2 do
  count(before[i], (held[before[i]] or 0) - tonumber(before[i + 1]))
  held[before[i]] = nil
end
for server, connections_held in pairs(held) do count(server, connections_held) end

-- After a restart or a fail-over of the store, the counts may be older than what was derived from them.
if rule and rule.prepare then
  local eligible, seen = {}, {}
  for _, server in ipairs(redis.call('LRANGE', cycle, 0, -1)) do
    if not seen[server] then
      seen[server] = true
      eligible[#eligible + 1] = server
    end
  end
  rule.prepare(eligible)
end

if removed_in_flight then -- no longer so, if these counts are from before a restart or a fail-over
  local counts = redis.call('HGETALL', connections)
  for i = 1, #counts, 2 do
    if counts[i + 1] == '0' and not redis.call('ZSCORE', servers, counts[i]) then
      redis.call('HDEL', connections, counts[i])
    end
  end
end

if new then
  durable()
  event('worker-joined', '', id, '')
end
return damage() and 0 or tonumber(at or 0)
