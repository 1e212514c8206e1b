-- An operator sets what is wanted of a server. Its clock of unanswered checks starts anew: while it is drained or in
-- maint it may be stopped, and is not removed for it.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include server
--@include usable
--@include outdated
-- KEYS: unanswered removal_refused
-- ARGV: server id, ready, drain or maint, by whom, versions seen or empty
-- Return: the server, or nil if it is not in the pool; error EMPTY, SCHEMA, VERSION
local refusal = unusable() or outdated(ARGV[4])
if refusal then return refusal end
local id, wanted, by = ARGV[1], ARGV[2], ARGV[3]
local before = redis.call('HGET', admin, id)
if not before then return nil end

if before ~= wanted then
  redis.call('HSET', admin, id, wanted)
  redis.call('HSET', since, id, now)
  redis.call('HDEL', unanswered, id)
  redis.call('SREM', removal_refused, id)
  event(wanted, id, by, 'was ' .. before)
  refresh(by)
end
return server(id)
