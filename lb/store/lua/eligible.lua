-- Says which servers may be picked, in pool order: those that are ready and up. If none of those that are ready is up,
-- the pool fails open, unless its config says otherwise, and all that are ready may be picked: the checks may be wrong,
-- and a server that fails is no worse than none. Returns these servers, and whether the pool fails open.
-- KEYS: servers admin health fail_open
local function column(key)
  local flat, values = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do values[flat[i]] = flat[i + 1] end
  return values
end

local function eligible_servers()
  local wanted, observed, ready, eligible = column(admin), column(health), {}, {}
  for _, id in ipairs(redis.call('ZRANGE', servers, 0, -1)) do
    if wanted[id] == 'ready' then
      ready[#ready + 1] = id
      if observed[id] == 'up' then eligible[#eligible + 1] = id end
    end
  end
  if #eligible > 0 or #ready == 0 or redis.call('GET', fail_open) == 'off' then return eligible, false end
  return ready, true
end
