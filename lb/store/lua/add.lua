-- An operator adds a server to the pool.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include usable
--@include outdated
--@include join
--@include server
-- KEYS: removed_server
-- ARGV: server id, URL, weight, source, by whom, versions seen or empty
-- Return: the server, nil if it is in the pool already; error EMPTY, SCHEMA, VERSION
local id, by = ARGV[1], ARGV[5]
local refusal = unusable() or outdated(ARGV[6])
if refusal then return refusal end
if redis.call('ZSCORE', servers, id) then return nil end

join(id, ARGV[2], ARGV[3], ARGV[4])
redis.call('DEL', removed_server)
event('added', id, by, ARGV[2])
refresh(by)
return server(id)
