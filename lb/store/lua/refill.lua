-- Puts a worker's snapshot into a store that is behind it: one that lost everything, or the newest changes. The pool is
-- then as the snapshot says, at the snapshot's version, so of several snapshots the newest wins, in whatever order they
-- come. After the keys named here come the `removed_server` of the snapshot's servers, in order.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include schema
--@include join
--@include forget
-- KEYS: reasons
-- ARGV: by whom, version, strategy,
--       then for each server: id, URL, weight, admin, health, source, reason, since
-- Return: 1, or nil if the store is not behind; error SCHEMA
redis.call('SETNX', schema, SCHEMA)
local found = redis.call('GET', schema)
if found ~= SCHEMA then return refuse(found) end
local behind = tonumber(redis.call('GET', version) or 0)
if behind >= tonumber(ARGV[2]) then return nil end

local FIRST, STEP = 4, 8
local records_before = #KEYS - (#ARGV - FIRST + 1) / STEP
local before = redis.call('ZRANGE', servers, 0, -1)
redis.call('DEL', servers)
for i = FIRST, #ARGV, STEP do
  local id, reason = ARGV[i], ARGV[i + 6]
  join(id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 5])
  redis.call('DEL', KEYS[records_before + (i - FIRST) / STEP + 1])
  redis.call('HSET', admin, id, ARGV[i + 3])
  redis.call('HSET', health, id, ARGV[i + 4])
  redis.call('HSET', since, id, ARGV[i + 7])
  redis.call('HDEL', reasons, id)
  if reason ~= '' then redis.call('HSET', reasons, id, reason) end
end
for _, id in ipairs(before) do
  if not redis.call('ZSCORE', servers, id) then forget(id) end
end
redis.call('SET', strategy, ARGV[3])
redis.call('SET', version, ARGV[2] - 1)
event('refilled', '', ARGV[1],
  (#ARGV - FIRST + 1) / STEP .. ' servers of version ' .. ARGV[2] .. ', the store was at version ' .. behind)
refresh()
return 1
