-- Puts a worker's last snapshot into a store that lost everything. The version goes on from the snapshot's.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include join
-- KEYS: schema reasons
-- ARGV: by whom, schema of the caller, version, strategy,
--       then for each server: id, URL, weight, admin, health, source, reason, since
-- Return: 1, or nil if the store is not empty
if redis.call('EXISTS', schema, version, strategy, servers) > 0 then return nil end

redis.call('SET', schema, ARGV[2])
redis.call('SET', version, ARGV[3])
redis.call('SET', strategy, ARGV[4])
for i = 5, #ARGV, 8 do
  local id, reason = ARGV[i], ARGV[i + 6]
  join(id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 5])
  redis.call('HSET', admin, id, ARGV[i + 3])
  redis.call('HSET', health, id, ARGV[i + 4])
  redis.call('HSET', since, id, ARGV[i + 7])
  if reason ~= '' then redis.call('HSET', reasons, id, reason) end
end
event('refilled', '', ARGV[1], (#ARGV - 4) / 8 .. ' servers, from version ' .. ARGV[3])
refresh()
return 1
