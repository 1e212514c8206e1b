-- An operator removes a server from the pool. Requests in flight to it go on. One that was removed for its silence no
-- longer comes back by itself.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include record
--@include forget
--@include usable
--@include outdated
-- KEYS: removed_unanswered
-- ARGV: server id, by whom, versions seen or empty
-- Return: 1, or nil if it is not in the pool; error EMPTY, SCHEMA, VERSION
local refusal = unusable() or outdated(ARGV[3])
if refusal then return refusal end
local id, by = ARGV[1], ARGV[2]
if not redis.call('ZSCORE', servers, id) then
  if redis.call('ZREM', removed_unanswered, id) == 0 then return nil end
  event('removed', id, by, 'is no longer awaited')
  return 1
end

record(id, '')
forget(id)
event('removed', id, by, '')
refresh(by)
return 1
