-- Makes the sums of the connections those of the workers' own counts again. They only differ if somebody else has
-- changed or deleted one of them. After the keys named here come the `worker_connections` of all workers, in order.
--@include traffic
--@include strategies
--@include eligible
--@include values
-- KEYS: workers strategy connections
-- ARGV: the ids of these workers
-- Return: how many sums were wrong; nil if these are not the workers that there are
local ids = redis.call('ZRANGE', workers, 0, -1)
if table.concat(ids, ' ') ~= table.concat(ARGV, ' ') then return nil end

local sums, wrong = {}, 0
for i = FURTHER, #KEYS do
  for id, count in pairs(column(KEYS[i])) do sums[id] = (sums[id] or 0) + (whole(count) or 0) end
end
for id, sum in pairs(sums) do
  if sum == 0 then sums[id] = nil end
end
for _, id in ipairs(redis.call('ZRANGE', servers, 0, -1)) do sums[id] = sums[id] or 0 end
for id, sum in pairs(column(connections)) do
  if not sums[id] then
    redis.call('HDEL', connections, id)
    wrong = wrong + 1
  elseif sum == tostring(sums[id]) then
    sums[id] = nil
  end
end
for id, sum in pairs(sums) do
  redis.call('HSET', connections, id, sum)
  wrong = wrong + 1
end
local rule = strategy_of(redis.call('GET', strategy))
if wrong > 0 and rule.prepare then rule.prepare(eligible_servers()) end
return wrong
