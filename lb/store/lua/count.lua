-- The one place where connection counts change. A worker's own count and the sum change together, so the sum is
-- always that of the workers. No count falls below zero, whatever a worker claims to release.
-- KEYS: schema strategy version servers connections worker_connections
local found, current, at = unpack(redis.call('MGET', schema, strategy, version))
local rule = at and strategy_of(current) -- none where there is no pool

-- Every member of the pool has a field from the moment it joins, so any further fields belong to servers that were
-- removed while requests to them were in flight.
local removed_in_flight = redis.call('HLEN', connections) > redis.call('ZCARD', servers)

local changed, total = {}, {} -- the servers whose counts the strategy has yet to be told, and these counts

local function count(id, change)
  if change == 0 then return end
  local held = redis.call('HINCRBY', worker_connections, id, change)
  if held < 0 then
    redis.call('HSET', worker_connections, id, 0)
    change = change - held
    if change == 0 then return end
  end
  local sum = redis.call('HINCRBY', connections, id, change)
  if sum < 0 then -- it was lost: recount.lua puts it right
    redis.call('HSET', connections, id, 0)
    sum = 0
  end
  if removed_in_flight and sum == 0 and not redis.call('ZSCORE', servers, id) then
    redis.call('HDEL', connections, id)
    redis.call('HDEL', worker_connections, id)
  elseif rule and rule.counted then
    if not total[id] then changed[#changed + 1] = id end
    total[id] = sum
  end
end

-- Tells the strategy the changed counts, before it picks again: once for all servers, not once for each.
local function settle()
  if #changed == 0 then return end
  rule.counted(changed, total)
  changed, total = {}, {}
end
