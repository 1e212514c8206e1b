-- Picks a server at random, in proportion to the weights. The twin of random.py.
-- KEYS: cycle
local length = nil -- of the cycle

strategies['random'] = {
  pick = function(excluded)
    local start = draw()
    length = length or redis.call('LLEN', cycle)
    for step = 0, length - 1 do
      local id = redis.call('LINDEX', cycle, (start + step) % length)
      if not excluded[id] then return id end
    end
  end,
}
