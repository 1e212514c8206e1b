-- Picks the server with the fewest requests in flight for its weight. The twin of least_connections.py.
-- `load` holds the eligible servers in order of connections / weight, equals by name; `counted` keeps it up to date.
-- KEYS: load cursor weights connections
local CHUNK = 1000 -- servers in one call

-- Appends the servers from one place of the order to another, the last one first.
local function backwards(from, to, picked)
  local ids = redis.call('ZRANGE', load, from, to)
  for i = #ids, 1, -1 do picked[#picked + 1] = ids[i] end
end

-- Gives out at most one pick for each of the least loaded servers: after that others may be the least loaded. A picked
-- server leaves the ranks of its equals; as turns go backwards, the places below it keep their numbers.
local function take(wanted)
  local first = redis.call('ZRANGE', load, 0, 0, 'WITHSCORES')
  if not first[1] then return {} end
  local tied = redis.call('ZCOUNT', load, first[2], first[2])
  if tied == 1 then return { first[1] } end

  local last, picked = tonumber(redis.call('GET', cursor) or 0), {}
  local place = (last > 0 and last <= tied) and last - 1 or tied - 1
  local lowest = math.max(place - wanted + 1, 0)
  backwards(lowest, place, picked)
  local around = math.min(wanted, tied) - #picked
  if around > 0 then
    backwards(tied - around, tied - 1, picked)
    lowest = tied - around - place - 1 -- among those that were left
  end
  if wanted >= tied then lowest = around == 1 and 0 or 1 end -- the last one has no equals, so it takes no turn
  redis.call('SET', cursor, lowest)
  return picked
end

-- Writes the load of these servers; with the condition 'XX', only of those that have one.
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
    local id = ids[1] -- the usual case under little traffic
    redis.call('ZADD', load, 'XX', totals[id] / (redis.call('HGET', weights, id) or 1), id)
  end,

  prepare = function(eligible)
    redis.call('DEL', load)
    if #eligible == 0 then return end
    local totals, counts = {}, redis.call('HGETALL', connections)
    for _, id in ipairs(eligible) do totals[id] = 0 end
    for i = 1, #counts, 2 do
      if counts[i + 1]:find('^%d+$') then totals[counts[i]] = counts[i + 1] end -- else somebody else has written it
    end
    order(eligible, totals)
  end,
}
