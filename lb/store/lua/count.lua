-- The one place where connection counts change. A worker's own count and the sum move together, so the sum is
-- always that of the workers; a count never falls below zero, whatever a worker claims to give back.
-- `meet` reads the counts of servers, `count` changes them in this script's memory, `settle` has the strategy know
-- before it picks again, `keep` writes them down: a batch takes a few calls, not a few for each request.
-- KEYS: strategy servers connections worker_connections
local rule = strategies[redis.call('GET', strategy)]
local CHUNK = 1000 -- servers in one call, whose arguments must fit on Lua's stack

local held, total = {}, {} -- by the worker, by all; of the servers met
local counted, changed = {}, {} -- the servers whose counts changed: as a set, in order
local unsettled, marked = {}, {} -- of these, those that the strategy does not know of: in order, as a set

local function meet(ids)
  local new = {}
  for _, id in ipairs(ids) do
    if not held[id] then
      held[id] = 0
      new[#new + 1] = id
    end
  end
  for first = 1, #new, CHUNK do
    local last = math.min(first + CHUNK - 1, #new)
    local own = redis.call('HMGET', worker_connections, unpack(new, first, last))
    local sums = redis.call('HMGET', connections, unpack(new, first, last))
    for i = first, last do
      held[new[i]] = tonumber(own[i - first + 1] or 0)
      total[new[i]] = tonumber(sums[i - first + 1] or 0)
    end
  end
end

local function count(id, change)
  if held[id] + change < 0 then change = -held[id] end
  if change == 0 then return end
  held[id] = held[id] + change
  total[id] = total[id] + change
  if not counted[id] then
    counted[id] = true
    changed[#changed + 1] = id
  end
  if rule and rule.counted and not marked[id] then
    marked[id] = true
    unsettled[#unsettled + 1] = id
  end
end

local function settle()
  if #unsettled == 0 then return end
  rule.counted(unsettled, total)
  unsettled, marked = {}, {}
end

-- Every member of the pool has a field from the time it joins, so any more are of servers that were removed while
-- requests to them were in flight.
local function removed_in_flight() return redis.call('HLEN', connections) > redis.call('ZCARD', servers) end

local function keep()
  local own, sums, gone, some_removed = {}, {}, {}, nil
  for _, id in ipairs(changed) do
    if total[id] == 0 and some_removed == nil then some_removed = removed_in_flight() end
    if total[id] == 0 and some_removed and not redis.call('ZSCORE', servers, id) then
      gone[#gone + 1] = id
    else
      own[#own + 1], sums[#sums + 1] = id, id
      own[#own + 1], sums[#sums + 1] = held[id], total[id]
    end
  end
  for first = 1, #own, 2 * CHUNK do
    local last = math.min(first + 2 * CHUNK - 1, #own)
    redis.call('HSET', worker_connections, unpack(own, first, last))
    redis.call('HSET', connections, unpack(sums, first, last))
  end
  for _, id in ipairs(gone) do
    redis.call('HDEL', worker_connections, id)
    redis.call('HDEL', connections, id)
  end
end
