-- Picks each server in turn, as often as its weight. The twin of round_robin.py.
-- KEYS: cycle cursor
local length = nil -- of the cycle

strategies['round-robin'] = {
  -- Reads the turns of a whole batch at once: three calls in all, instead of two for each pick.
  take = function(wanted)
    length = redis.call('LLEN', cycle)
    local turns = {}
    if length == 0 then return turns end
    local place = (redis.call('INCRBY', cursor, wanted) - wanted) % length
    while #turns < wanted do
      for _, id in ipairs(redis.call('LRANGE', cycle, place, place + wanted - #turns - 1)) do
        turns[#turns + 1] = id
      end
      place = 0
    end
    return turns
  end,

  pick = function(excluded)
    length = length or redis.call('LLEN', cycle)
    for _ = 1, length do
      local position = redis.call('INCR', cursor) - 1
      local id = redis.call('LINDEX', cycle, position % length)
      if not excluded[id] then return id end
    end
  end,
}
