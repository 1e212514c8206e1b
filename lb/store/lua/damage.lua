-- Finds what of the pool is missing, or is no value that lb writes. No key vouches for another.
--@include eligible
--@include shape
--@include values
-- KEYS: schema version strategy fail_open servers urls weights admin health sources reasons since cycle load
local checks = { -- in the order of a row
  { urls, server_url, 'URL' },
  { weights, function(text) return whole(text, 1, 256) and text end, 'weight' },
  { admin, one_of('ready', 'drain', 'maint'), 'admin' },
  { health, one_of('up', 'down'), 'health' },
  { sources, one_of('config', 'admin'), 'source' },
  { since, moment, 'since' },
}
local HEALTH = 4

local function damaged_members()
  local members, columns, why = {}, {}, column(reasons)
  for i, check in ipairs(checks) do columns[i] = column(check[1]) end
  for _, id in ipairs(redis.call('ZRANGE', servers, 0, -1)) do
    if not server_id(id) then return 'servers: an id that is none' end
    for i, check in ipairs(checks) do
      if not check[2](columns[i][id], id) then return id .. ': no ' .. check[3] end
    end
    if columns[HEALTH][id] == 'down' and not why[id] then return id .. ': no reason' end
    members[id] = true
  end
  for id in pairs(columns[1]) do
    if not members[id] then return 'servers: a server is missing' end
  end
end

local function damaged_cycle()
  local eligible, current = {}, redis.call('GET', strategy)
  for _, id in ipairs(eligible_servers()) do eligible[id] = true end
  local places = redis.call('LRANGE', cycle, 0, 999) -- a longer one is of odd weights
  for _, id in ipairs(places) do
    if not eligible[id] then return 'cycle' end
  end
  if (next(eligible) == nil) ~= (#places == 0) then return 'cycle' end
  if current ~= 'least-connections' then return nil end
  for _, id in ipairs(redis.call('ZRANGE', load, 0, -1)) do
    if not eligible[id] then return 'load' end
    eligible[id] = nil
  end
  return next(eligible) and 'load' or nil
end

-- Returns nil if the pool is whole, or if there is none; else what is damaged, and whether that is derived, so that
-- the rest says what it was.
local function damage()
  local found, at, named = redis.call('GET', schema), redis.call('GET', version), redis.call('GET', strategy)
  if (not at or at == '0') and redis.call('EXISTS', servers, urls) == 0 then return nil end
  if not pool_version(at) then return 'version' end
  if not named or named ~= redis.call('HGET', shape, 'strategy') then return 'strategy' end
  local opens = redis.call('HGET', shape, 'fail_open') -- none was noted by an earlier version of lb
  if opens and opens ~= (redis.call('GET', fail_open) or 'on') then return 'fail_open' end
  local members = damaged_members()
  if members then return members end
  local whole_picks, same_members = intact()
  if not same_members then return 'servers: not those of version ' .. at end
  local derived = found ~= SCHEMA and 'schema' or not whole_picks and 'cycle or load' or damaged_cycle()
  return derived, derived ~= nil
end
