-- The one place where connection counts change. A worker's own count and the sum move together, so the sum is
-- always that of the workers; a count never falls below zero, whatever a worker claims to give back.
-- KEYS: strategy servers connections worker_connections
local rule = strategies[redis.call('GET', strategy)]

local function count(id, change)
  if change < 0 then
    change = -math.min(-change, tonumber(redis.call('HGET', worker_connections, id) or 0))
  end
  if change == 0 then return end
  redis.call('HINCRBY', worker_connections, id, change)
  local total = redis.call('HINCRBY', connections, id, change)
  if total == 0 and not redis.call('ZSCORE', servers, id) then
    redis.call('HDEL', connections, id) -- the last request to a removed server ended
  elseif rule and rule.counted then
    rule.counted(id, total)
  end
end
