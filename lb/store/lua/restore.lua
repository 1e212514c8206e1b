-- An operator brings back a removed server with the URL, weight and source that it had; 1 and admin stand for what is no
-- weight and no source. One that has just come back by itself is left as it is.
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
if not server_url(kept[1], id) or not kept[4] ~= not redis.call('ZSCORE', servers, id) then return nil end
if kept[4] then return server(id) end

join(id, kept[1], whole(kept[2], 1, 256) or 1, one_of('config')(kept[3]) or 'admin')
redis.call('DEL', removed_server)
event('restored', id, by, kept[1])
refresh(by)
return server(id)
