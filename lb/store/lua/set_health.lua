-- The health-checker marks a server up or down. If no check is answered, it may be the checker that is cut off. So no
-- more than half of the pool goes down for silence as long as servers answer requests and this one has no failures.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include flip
--@include fence
--@include usable
-- KEYS: answered reasons
-- ARGV: server id, up or down, reason, by whom, term of the lead, 1 if it is down for silence
-- Return: 1, or nil if it was so already (then a reason that checks gave is renewed) or the server is not in the pool, or
--         traffic contradicts; error DEPOSED, EMPTY, SCHEMA
local refusal = deposed(ARGV[5]) or unusable()
if refusal then return refusal end
local id, observed = ARGV[1], ARGV[2]
local before = redis.call('HGET', health, id)
if not before then return nil end
if before == observed then
  local known = redis.call('HGET', reasons, id) or ''
  if observed == 'down' and known ~= ARGV[3] and known:find('^check: ') then -- the settings of checks have changed
    redis.call('HSET', reasons, id, ARGV[3])
    refresh()
  end
  return nil
end

local function contradicted()
  if ARGV[6] ~= '1' or redis.call('EXISTS', answered) == 0 or redis.call('HEXISTS', failures, id) == 1 then
    return false
  end
  local down = 1
  for _, found in ipairs(redis.call('HVALS', health)) do
    if found == 'down' then down = down + 1 end
  end
  return down > redis.call('ZCARD', servers) / 2
end

if contradicted() then return nil end
flip(id, observed, ARGV[3], ARGV[4])
return 1
