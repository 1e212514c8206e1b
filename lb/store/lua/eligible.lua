-- Says which servers may be picked: those that are ready and up, in pool order.
-- KEYS: servers admin health
local function column(key)
  local flat, values = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do values[flat[i]] = flat[i + 1] end
  return values
end

local function eligible_servers()
  local wanted, observed, eligible = column(admin), column(health), {}
  for _, id in ipairs(redis.call('ZRANGE', servers, 0, -1)) do
    if wanted[id] == 'ready' and observed[id] == 'up' then eligible[#eligible + 1] = id end
  end
  return eligible
end
