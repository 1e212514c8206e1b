-- Each server in turn, as often as its weight. The twin of round_robin.py.
-- KEYS: cycle cursor
strategies['round-robin'] = {
  pick = function(excluded)
    local length = redis.call('LLEN', cycle)
    for _ = 1, length do
      local position = redis.call('INCR', cursor) - 1
      local id = redis.call('LINDEX', cycle, position % length)
      if not excluded[id] then return id end
    end
  end,
}
