-- Gives up the lead among the health-checkers, so that another can take it at once.
-- KEYS: checker
-- ARGV: health-checker id
-- Return: 1, or nil if it does not lead
if redis.call('GET', checker) ~= ARGV[1] then return nil end
return redis.call('DEL', checker)
