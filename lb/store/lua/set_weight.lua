-- An operator sets a server's share of the requests.
--@include strategies
--@include refresh
--@include event
--@include server
--@include usable
--@include outdated
-- ARGV: server id, weight, by whom, versions seen or empty
-- Return: the server, or nil if it is not in the pool; error EMPTY, SCHEMA, VERSION
local refusal = unusable() or outdated(ARGV[4])
if refusal then return refusal end
local id, weight, by = ARGV[1], ARGV[2], ARGV[3]
local before = redis.call('HGET', weights, id)
if not before then return nil end

if before ~= weight then
  redis.call('HSET', weights, id, weight)
  event('weight', id, by, weight .. ', was ' .. before)
  refresh(by)
end
return server(id)
