-- An operator brings back a removed server with the URL, weight and source that it had.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include join
--@include server
--@include usable
--@include outdated
-- KEYS: removed_server
-- ARGV: server id, by whom, versions seen or empty
-- Return: the server, or nil if there is no record of its removal; error EMPTY, SCHEMA, VERSION
local refusal = unusable() or outdated(ARGV[3])
if refusal then return refusal end
local id, by = ARGV[1], ARGV[2]
local kept = redis.call('HMGET', removed_server, 'url', 'weight', 'source')
if not kept[1] or redis.call('ZSCORE', servers, id) then return nil end

join(id, kept[1], kept[2], kept[3])
redis.call('DEL', removed_server)
event('restored', id, by, kept[1])
refresh(by)
return server(id)
