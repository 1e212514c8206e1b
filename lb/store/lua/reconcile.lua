-- Makes the servers that came from the config those that it names now; what operators did stays. A weight or the
-- strategy of the config is applied only if the config has changed it since the last time, so what an operator has set
-- survives a restart. After the keys named here come the `removed_server` of the config's servers, in order.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include usable
--@include join
--@include forget
-- KEYS: config_strategy config_weights fail_open
-- ARGV: by whom, strategy, on or off (whether the pool fails open), then for each server of the config: id, URL, weight
-- Return: the ids of the servers that left; error EMPTY if the pool is damaged, SCHEMA
local by, configured, opens = ARGV[1], ARGV[2], ARGV[3]
local FIRST, STEP = 4, 3
local refusal = unusable(true)
if refusal then return refusal end
redis.call('SET', schema, SCHEMA)
local changed = not redis.call('GET', version)

local function edited(remembered, wanted) return remembered and remembered ~= wanted end

local function reconcile_fail_open()
  if (redis.call('GET', fail_open) or 'on') ~= opens then changed = true end
  redis.call('SET', fail_open, opens)
end

local function reconcile_strategy()
  local current, remembered = redis.call('GET', strategy), redis.call('GET', config_strategy)
  if current == '' then current = nil end
  redis.call('SET', config_strategy, configured)
  local known = definitions[remembered] and remembered -- else somebody else has written it
  if current == configured or (current and not edited(known, configured)) then return end
  redis.call('SET', strategy, configured)
  event('strategy', '', by, configured .. (current and ', was ' .. current or ''))
  changed = true
end

local function reconcile_server(id, url, weight)
  if redis.call('HGET', urls, id) ~= url then
    redis.call('HSET', urls, id, url)
    event('url', id, by, url)
    changed = true
  end
  local current, remembered = redis.call('HGET', weights, id), redis.call('HGET', config_weights, id)
  if current ~= weight and edited(whole(remembered) and remembered, weight) then
    redis.call('HSET', weights, id, weight)
    event('weight', id, by, weight .. ', was ' .. current)
    changed = true
  end
end

reconcile_fail_open()
reconcile_strategy()
local named = {}
for i = FIRST, #ARGV, STEP do
  local id, url, weight = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  named[id] = weight
  if not redis.call('ZSCORE', servers, id) then
    join(id, url, weight, 'config')
    redis.call('DEL', KEYS[FURTHER + (i - FIRST) / STEP])
    event('added', id, by, url)
    changed = true
  elseif redis.call('HGET', sources, id) == 'config' then
    reconcile_server(id, url, weight)
  end
end
local left = {}
for _, id in ipairs(redis.call('ZRANGE', servers, 0, -1)) do
  if not named[id] and redis.call('HGET', sources, id) == 'config' then
    forget(id)
    event('removed', id, by, 'no longer in the config')
    left[#left + 1] = id
    changed = true
  end
end
for id in pairs(column(config_weights)) do -- what the config has dropped does not come back by itself
  if not named[id] then redis.call('ZREM', removed_unanswered, id) end
end
redis.call('DEL', config_weights)
for id, weight in pairs(named) do redis.call('HSET', config_weights, id, weight) end
if changed then refresh(by) end
return left
