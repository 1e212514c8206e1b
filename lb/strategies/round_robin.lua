-- Each server in turn, as often as its weight. The twin of round_robin.py.
-- KEYS: cycle cursor
local length = nil -- of the cycle
local turns, taken = {}, 0 -- of this batch

strategies['round-robin'] = {
  -- Reads the turns of a whole batch at once: two calls instead of two for each pick.
  expect = function(picks)
    length = redis.call('LLEN', cycle)
    if length == 0 or picks == 0 then return end
    local place = (redis.call('INCRBY', cursor, picks) - picks) % length
    while #turns < picks do
      for _, id in ipairs(redis.call('LRANGE', cycle, place, place + picks - #turns - 1)) do
        turns[#turns + 1] = id
      end
      place = 0
    end
  end,

  pick = function(excluded)
    if taken < #turns then
      taken = taken + 1
      return turns[taken]
    end
    for _ = 1, length do
      local position = redis.call('INCR', cursor) - 1
      local id = redis.call('LINDEX', cycle, position % length)
      if not excluded[id] then return id end
    end
  end,
}
