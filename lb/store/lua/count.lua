-- The one place where connection counts change. A worker's own count and the sum move together, so the sum is
-- always that of the workers; a count never falls below zero, whatever a worker claims to give back.
-- KEYS: strategy servers connections worker_connections
local rule = strategies[redis.call('GET', strategy)]

-- Every member of the pool has a field from the time it joins, so any more are of servers that were removed while
-- requests to them were in flight.
local removed_in_flight = redis.call('HLEN', connections) > redis.call('ZCARD', servers)

local function count(id, change)
  if change == 0 then return end
  local held = redis.call('HINCRBY', worker_connections, id, change)
  if held < 0 then
    redis.call('HSET', worker_connections, id, 0)
    change = change - held
    if change == 0 then return end
  end
  local total = redis.call('HINCRBY', connections, id, change)
  if removed_in_flight and total == 0 and not redis.call('ZSCORE', servers, id) then
    redis.call('HDEL', connections, id)
    redis.call('HDEL', worker_connections, id)
  elseif rule and rule.counted then
    rule.counted(id, total)
  end
end
