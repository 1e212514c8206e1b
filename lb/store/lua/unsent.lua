-- Tells the leading health-checker of which events the webhook has not been told. At first, without a cursor, there are
-- none, as older events are no news.
--@include clock
--@include fence
-- KEYS: events webhook_cursor
-- ARGV: term of the lead, the cursor that the caller knows ('' if it knows none), for a store that has lost its own
-- Return: {unix seconds, cursor, each event behind it: {id, {field, value, …}} …}; error DEPOSED
local refusal = deposed(ARGV[1])
if refusal then return refusal end
local cursor = redis.call('GET', webhook_cursor)
local milliseconds = cursor and #cursor <= 34 and tonumber(cursor:match('^(%d+)%-%d+$'))
if not milliseconds or milliseconds > (now + 60) * 1000 then -- none, or one that lb has not written
  local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  cursor = ARGV[2] ~= '' and ARGV[2] or newest and newest[1] or '0-0'
  redis.call('SET', webhook_cursor, cursor)
end
return { now, cursor, unpack(redis.call('XRANGE', events, '(' .. cursor, '+')) }
