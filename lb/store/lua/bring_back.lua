-- Brings back a server that was removed for its silence and passes its checks again, with the URL, weight and source
-- that it had. What an operator has removed, or the config no longer names, stays away. Its record is kept for an hour, so
-- that an operator who restores it just then is not refused.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include join
--@include fence
--@include usable
-- KEYS: removed_unanswered removed_server
-- ARGV: server id, by whom, term of the lead
-- Return: 1, or nil if it is not awaited; error DEPOSED, EMPTY, SCHEMA
local refusal = deposed(ARGV[3]) or unusable()
if refusal then return refusal end
local id, by = ARGV[1], ARGV[2]
local left = moment(redis.call('ZSCORE', removed_unanswered, id))
local kept = redis.call('HMGET', removed_server, 'url', 'weight', 'source')
if not left or not server_url(kept[1], id) or redis.call('ZSCORE', servers, id) then return nil end

join(id, kept[1], whole(kept[2], 1, 256) or 1, one_of('config')(kept[3]) or 'admin')
redis.call('HSET', removed_server, 'returned', now)
redis.call('EXPIRE', removed_server, 3600)
event('returned', id, by, string.format('passes its checks, was removed %.0f s ago', now - left))
refresh(by)
return 1
