-- The leading health-checker notes up to which event the webhook has been told.
--@include fence
-- KEYS: webhook_cursor
-- ARGV: event id, term of the lead
-- Return: 1; error DEPOSED
local refusal = deposed(ARGV[2])
if refusal then return refusal end
redis.call('SET', webhook_cursor, ARGV[1])
return 1
