-- Marks a server down because real traffic has failed there. At most half of the pool goes down in this way: if most
-- of it seems to fail, the fault may lie elsewhere, and a failing server is no worse than none.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include flip
--@include usable
-- ARGV: server id, consecutive failures, by whom
-- Return: 1, or nil if it is down already, not in the pool, or half of the pool is marked down so; error EMPTY, SCHEMA
local refusal = unusable()
if refusal then return refusal end
local id = ARGV[1]
if redis.call('HGET', health, id) ~= 'up' then return nil end

local marked = 0
for _, reason in ipairs(redis.call('HVALS', reasons)) do
  if reason:find('^failures:') then marked = marked + 1 end
end
if marked + 1 > math.floor(redis.call('ZCARD', servers) / 2) then return nil end

flip(id, 'down', 'failures: ' .. ARGV[2] .. ' consecutive', ARGV[3])
return 1
