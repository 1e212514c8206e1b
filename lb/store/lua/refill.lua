-- Puts a worker's snapshot into a store that is behind it: one that lost everything, or the newest changes. The pool is
-- then as the snapshot says, at the snapshot's version, so of several snapshots the newest wins, in whatever order they
-- come. A damaged pool of the snapshot's version is put back likewise. One of a later version keeps what is whole in
-- it; the snapshot, or else the usual values, fill the gaps. After the keys named here come the `removed_server` of
-- the snapshot's servers, in order.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include schema
--@include damage
--@include join
--@include forget
-- KEYS: reasons fail_open
-- ARGV: by whom, version, strategy, 1 to fill the gaps of a later version, though others may know better,
--       on or off (whether the pool fails open),
--       then for each server: id, URL, weight, admin, health, source, reason, since
-- Return: 1, or nil if the store is not behind and not damaged, or not so that this snapshot helps; error SCHEMA
local found = redis.call('GET', schema)
if other_schema(found) then return refuse(found) end
local by, given, patch = ARGV[1], tonumber(ARGV[2]), ARGV[4] == '1'
local FIRST, STEP = 6, 8
local snapshot_size = (#ARGV - FIRST + 1) / STEP
-- A version that was lost with servers left behind was at least the one that the last change has noted.
local lost, derived = damage()
local noted = lost and pool_version(redis.call('HGET', shape, 'version'))
local behind = pool_version(redis.call('GET', version)) or noted or 0
local equal = given > 0 and behind == given
local replaces = behind < given or equal and (lost or redis.call('ZCARD', servers) ~= snapshot_size)
if not replaces and not (lost and (derived or patch)) then return nil end

local rows, ids = {}, {} -- what the pool will be, and in which order
for i = FIRST, #ARGV, STEP do
  ids[#ids + 1] = ARGV[i]
  rows[ARGV[i]] = { unpack(ARGV, i, i + STEP - 1) }
end

local PLACES = { 2, 3, 4, 5, 6, 8 } -- of the checked columns in a row

local function fill_gaps()
  local known, columns = ids, {}
  ids = {}
  local function keep(id)
    if columns[id] or not server_id(id) then return end
    columns[id] = true
    ids[#ids + 1] = id
  end
  for _, id in ipairs(redis.call('ZRANGE', servers, 0, -1)) do keep(id) end
  local whole_list = #ids > 0
  for id in pairs(column(urls)) do keep(id) end
  if not whole_list then
    for _, id in ipairs(known) do keep(id) end
  end
  local stored = {}
  for i, check in ipairs(checks) do stored[i] = column(check[1]) end
  local why = column(reasons)
  for _, id in ipairs(ids) do
    local url = id:find('^unix:') and id or 'http://' .. id
    local row = rows[id] or { id, url, '1', 'ready', 'up', 'admin', '', now }
    for i, check in ipairs(checks) do
      if check[2](stored[i][id], id) then row[PLACES[i]] = stored[i][id] end
    end
    row[7] = row[5] == 'down' and (why[id] or row[7]) or ''
    rows[id] = row
  end
end

local named = redis.call('HGET', shape, 'strategy') or redis.call('GET', strategy)
if replaces or not named or not named:find('^[%w-]*$') then named = ARGV[3] end
if not replaces then fill_gaps() end
local before = redis.call('ZRANGE', servers, 0, -1)
for id in pairs(column(urls)) do before[#before + 1] = id end
redis.call('SET', schema, SCHEMA)
redis.call('DEL', servers)
for _, id in ipairs(ids) do
  local _, url, weight, wanted, observed, source, reason, changed = unpack(rows[id])
  join(id, url, weight, source)
  redis.call('HSET', admin, id, wanted)
  redis.call('HSET', health, id, observed)
  redis.call('HSET', since, id, changed)
  redis.call('HDEL', reasons, id)
  if observed == 'down' then redis.call('HSET', reasons, id, reason) end
end
for _, id in ipairs(before) do
  if not redis.call('ZSCORE', servers, id) then forget(id) end
end
for i = FURTHER, #KEYS do
  if redis.call('ZSCORE', servers, ARGV[FIRST + STEP * (i - FURTHER)]) then redis.call('DEL', KEYS[i]) end
end
redis.call('SET', strategy, named)
if replaces or not one_of('on', 'off')(redis.call('GET', fail_open)) then
  redis.call('SET', fail_open, ARGV[5])
end
redis.call('SET', version, replaces and given - 1 or math.max(behind, given))
if lost or equal then
  local gaps = not replaces and not derived and ', gaps filled from version ' .. given or ''
  event('repaired', '', by,
    (lost or 'servers') .. '; ' .. #ids .. ' servers of version ' .. math.max(behind, given) .. gaps)
else
  event('refilled', '', by,
    #ids .. ' servers of version ' .. given .. ', the store was at version ' .. behind)
end
refresh(by)
return 1
