-- An operator brings back a removed server with the URL, weight and source that it had. One that has just come back by
-- itself is left as it is.
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
local kept = redis.call('HMGET', removed_server, 'url', 'weight', 'source', 'returned')
if not kept[1] or not kept[4] ~= not redis.call('ZSCORE', servers, id) then return nil end
if kept[4] then return server(id) end

join(id, kept[1], kept[2], kept[3])
redis.call('DEL', removed_server)
event('restored', id, by, kept[1])
refresh(by)
return server(id)
