-- The health-checker found a server up, or down.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include flip
--@include fence
-- ARGV: server id, up or down, reason, by whom, term of the lead
-- Return: 1, or nil if it was so already or the server is not in the pool; error DEPOSED
local refusal = deposed(ARGV[5])
if refusal then return refusal end
local id, observed = ARGV[1], ARGV[2]
local before = redis.call('HGET', health, id)
if not before or before == observed then return nil end

flip(id, observed, ARGV[3], ARGV[4])
return 1
