-- Gives a pool that has changed a new version, and prepares what picks need. Records when it begins to fail open, and
-- when that ends.
--@include clock
--@include event
--@include eligible
--@include shape
-- KEYS: version strategy servers weights cycle load fail_open_since
local function gcd(a, b)
  while b > 0 do a, b = b, a % b end
  return a
end

-- The twin of weighted_cycle in strategies/base.py.
local function weighted_cycle(ids)
  local divisor, weight = 0, {}
  for i, id in ipairs(ids) do
    weight[i] = tonumber(redis.call('HGET', weights, id))
    divisor = gcd(weight[i], divisor)
  end
  local turns = {}
  for i in ipairs(ids) do
    local share = weight[i] / divisor
    for turn = 0, share - 1 do
      turns[#turns + 1] = { at = (turn * #ids + i - 1) / (share * #ids), index = i }
    end
  end
  table.sort(turns, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.index < b.index
  end)
  for place, turn in ipairs(turns) do turns[place] = ids[turn.index] end
  return turns
end

local function note_fail_open(opens, eligible, by)
  local opened = redis.call('GET', fail_open_since)
  if opens and not opened then
    redis.call('SET', fail_open_since, now)
    event('fail-open', '', by, 'no server is up, requests go to all that are ready: ' .. #eligible)
  elseif opened and not opens then
    redis.call('DEL', fail_open_since)
    event('fail-open-ended', '', by,
      #eligible > 0 and 'requests go to all that are up: ' .. #eligible or 'no server may be picked')
  end
end

-- `by` is whoever has changed the pool.
local function refresh(by)
  local eligible, opens = eligible_servers()
  redis.call('SETNX', strategy, '') -- nobody has chosen one; without a value it would seem to be lost
  redis.call('DEL', cycle)
  local turns = weighted_cycle(eligible)
  for first = 1, #turns, 1000 do -- one by one took as long as all the rest
    redis.call('RPUSH', cycle, unpack(turns, first, math.min(first + 999, #turns)))
  end
  local current = redis.call('GET', strategy)
  for name in pairs(definitions) do
    local rule = strategy_of(name)
    if rule.prepare then rule.prepare(name == current and eligible or {}) end
  end
  redis.call('INCR', version)
  note_shape()
  note_fail_open(opens, eligible, by)
end
