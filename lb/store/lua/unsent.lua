-- Tells the leading health-checker which events the webhook has not been told. Without a cursor there are none yet:
-- what was before is no news.
--@include clock
--@include fence
-- KEYS: events webhook_cursor
-- ARGV: term of the lead, the cursor that the caller knows, for a store that lost its own ('' if it knows none)
-- Return: {unix seconds, cursor, each event behind it: {id, {field, value, …}} …}; error DEPOSED
local refusal = deposed(ARGV[1])
if refusal then return refusal end
local cursor = redis.call('GET', webhook_cursor)
if not cursor then
  local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  cursor = ARGV[2] ~= '' and ARGV[2] or newest and newest[1] or '0-0'
  redis.call('SET', webhook_cursor, cursor)
end
return { now, cursor, unpack(redis.call('XRANGE', events, '(' .. cursor, '+')) }
