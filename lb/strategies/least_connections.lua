-- The server with the fewest requests in flight for its weight. The twin of least_connections.py.
-- `load` orders the eligible servers by connections / weight, equals by name; `counted` keeps it so.
-- KEYS: load cursor weights connections
local CHUNK = 1000 -- servers in one call

-- The servers at several places among those with the least, if each leaves them when it is picked.
local function leaving(tied, places)
  local picked = {}
  if tied <= 4 * #places then -- one call for all of them takes less than one for each
    local left = redis.call('ZRANGE', load, 0, tied - 1)
    for i, place in ipairs(places) do picked[i] = table.remove(left, place + 1) end
    return picked
  end
  local gone = {} -- ascending
  for i, place in ipairs(places) do
    local before = 1
    while gone[before] and gone[before] <= place do
      place, before = place + 1, before + 1
    end
    table.insert(gone, before, place)
    picked[i] = redis.call('ZRANGE', load, place, place)[1]
  end
  return picked
end

-- As many picks as the servers with the least can have before any other could: one each.
local function take(wanted)
  local first = redis.call('ZRANGE', load, 0, 0, 'WITHSCORES')
  if not first[1] then return {} end
  local tied = redis.call('ZCOUNT', load, first[2], first[2])
  if tied == 1 then return { first[1] } end
  local turns = math.min(wanted, tied - 1) -- the last one that is left takes no turn
  local position = redis.call('INCRBY', cursor, turns) - turns
  if wanted == 1 then return redis.call('ZRANGE', load, position % tied, position % tied) end
  local places = {}
  for i = 1, math.min(wanted, tied) do places[i] = (position + i - 1) % (tied - i + 1) end
  return leaving(tied, places)
end

-- Writes the load of servers; with 'XX' of those that are in the order already.
local function order(ids, totals, condition)
  for first = 1, #ids, CHUNK do
    local last = math.min(first + CHUNK - 1, #ids)
    local shares, words = redis.call('HMGET', weights, unpack(ids, first, last)), { condition }
    for i = first, last do
      words[#words + 1] = totals[ids[i]] / (shares[i - first + 1] or 1)
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

  counted = function(ids, totals)
    if #ids > 1 then return order(ids, totals, 'XX') end
    local id = ids[1] -- the usual case of a quiet worker
    redis.call('ZADD', load, 'XX', totals[id] / (redis.call('HGET', weights, id) or 1), id)
  end,

  prepare = function(eligible)
    redis.call('DEL', load)
    if #eligible == 0 then return end
    local totals, counts = {}, redis.call('HGETALL', connections)
    for _, id in ipairs(eligible) do totals[id] = 0 end
    for i = 1, #counts, 2 do totals[counts[i]] = counts[i + 1] end
    order(eligible, totals)
  end,
}
