-- An operator chooses the strategy.
--@include strategies
--@include refresh
--@include event
--@include schema
-- ARGV: name of the strategy, by whom
-- Return: nil; error EMPTY, SCHEMA
local refusal = absent()
if refusal then return refusal end
local name, by = ARGV[1], ARGV[2]
local before = redis.call('GET', strategy)
if before ~= name then
  redis.call('SET', strategy, name)
  event('strategy', '', by, name .. (before and ', was ' .. before or ''))
  refresh()
end
