-- An operator chooses the strategy.
--@include strategies
--@include refresh
--@include event
--@include usable
--@include outdated
-- ARGV: name of the strategy, by whom, versions seen or empty
-- Return: nil; error EMPTY, SCHEMA, VERSION
local refusal = unusable() or outdated(ARGV[3])
if refusal then return refusal end
local name, by = ARGV[1], ARGV[2]
local before = redis.call('GET', strategy)
if before ~= name then
  redis.call('SET', strategy, name)
  event('strategy', '', by, name .. (before and before ~= '' and ', was ' .. before or ''))
  refresh(by)
end
