-- The server with the fewest requests in flight for its weight. The twin of least_connections.py.
-- `load` orders the eligible servers by connections / weight, equals by name; `counted` keeps it so.
-- KEYS: load turn weights connections
local CHUNK = 1000 -- servers in one call
local weight = {} -- of the servers met in this batch
local last = nil -- picked by anyone

-- Where in `load` those with the least begin whose turn is next: behind the place that the last one has among them,
-- or would have.
local function place_of_turn(least)
  last = last or redis.call('GET', turn) or ''
  if redis.call('ZSCORE', load, last) == least then return redis.call('ZRANK', load, last) + 1 end
  local mark = last .. '\0' -- no name comes between
  redis.call('ZADD', load, least, mark)
  local place = redis.call('ZRANK', load, mark)
  redis.call('ZREM', load, mark)
  return place
end

-- As many picks as the servers with the least can have before any other could: one each.
local function take(wanted)
  local first = redis.call('ZRANGE', load, 0, 0, 'WITHSCORES')
  if not first[1] then return {} end
  local picked, least = { first[1] }, first[2]
  local tied = redis.call('ZCOUNT', load, least, least)
  if tied > 1 then
    local place = place_of_turn(least) % tied
    picked = redis.call('ZRANGE', load, place, math.min(place + wanted, tied) - 1)
    local around = math.min(wanted - #picked, place)
    if around > 0 then
      for _, id in ipairs(redis.call('ZRANGE', load, 0, around - 1)) do picked[#picked + 1] = id end
    end
  end
  last = picked[#picked]
  redis.call('SET', turn, last)
  return picked
end

local function learn_weights(ids)
  local new = {}
  for _, id in ipairs(ids) do
    if not weight[id] then new[#new + 1] = id end
  end
  for first = 1, #new, CHUNK do
    local found = redis.call('HMGET', weights, unpack(new, first, math.min(first + CHUNK - 1, #new)))
    for i, value in ipairs(found) do weight[new[first + i - 1]] = value or 1 end
  end
end

-- Writes the load of servers; with 'XX' of those that are in the order already.
local function order(ids, totals, condition)
  learn_weights(ids)
  for first = 1, #ids, CHUNK do
    local words = { condition }
    for i = first, math.min(first + CHUNK - 1, #ids) do
      words[#words + 1] = totals[ids[i]] / weight[ids[i]]
      words[#words + 1] = ids[i]
    end
    redis.call('ZADD', load, unpack(words))
  end
end

strategies['least-connections'] = {
  take = take,

  pick = function(excluded)
    local aside = {}
    for id in pairs(excluded) do
      local score = redis.call('ZSCORE', load, id)
      if score then
        redis.call('ZREM', load, id)
        aside[#aside + 1] = score
        aside[#aside + 1] = id
      end
    end
    local id = take(1)[1]
    for i = 1, #aside, 2 do redis.call('ZADD', load, aside[i], aside[i + 1]) end
    return id
  end,

  counted = function(ids, totals) order(ids, totals, 'XX') end,

  prepare = function(eligible)
    redis.call('DEL', load)
    if #eligible == 0 then return end
    local totals, counts = {}, redis.call('HGETALL', connections)
    for _, id in ipairs(eligible) do totals[id] = 0 end
    for i = 1, #counts, 2 do totals[counts[i]] = counts[i + 1] end
    order(eligible, totals)
  end,
}
