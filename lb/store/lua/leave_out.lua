-- The health-checker names the addresses of a server that workers are to use only if no other of its addresses can be
-- reached. Their snapshots have another version then, so they read of it.
--@include strategies
--@include refresh
--@include event
--@include fence
-- KEYS: servers left_out
-- ARGV: server id, the addresses joined by blanks, what is said of it in the events, by whom, term of the lead
-- Return: 1, or nil if it was so already or the server is not in the pool; error DEPOSED
local refusal = deposed(ARGV[5])
if refusal then return refusal end
local id, addresses = ARGV[1], ARGV[2]
if not redis.call('ZSCORE', servers, id) or (redis.call('HGET', left_out, id) or '') == addresses then return nil end

if addresses == '' then redis.call('HDEL', left_out, id) else redis.call('HSET', left_out, id, addresses) end
event('addresses', id, ARGV[4], ARGV[3])
refresh()
return 1
