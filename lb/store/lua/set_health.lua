-- The health-checker found a server up, or down.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include flip
-- ARGV: server id, up or down, reason, by whom
-- Return: 1, or nil if it was so already or the server is not in the pool
local id, observed = ARGV[1], ARGV[2]
local before = redis.call('HGET', health, id)
if not before or before == observed then return nil end

flip(id, observed, ARGV[3], ARGV[4])
return 1
