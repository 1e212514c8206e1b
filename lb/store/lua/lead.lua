-- Takes or renews the leadership among the health-checkers. A new lead is a new term, which grows even over the loss
-- of the store, so that what a deposed leader still sends can be told (fence.lua). After a time without a leader the
-- clocks of unanswered checks start anew: nobody looked, so nobody can say that a server was away all that time.
--@include clock
-- KEYS: checker checker_term unanswered
-- ARGV: health-checker id, milliseconds until the leadership ends unless renewed
-- Return: the term, or nil if another leads
local leader = redis.call('GET', checker)
if leader and leader ~= ARGV[1] then return nil end
if not leader then
  redis.call('DEL', unanswered)
  local term = math.max((redis.call('GET', checker_term) or 0) + 1, now * 1000)
  redis.call('SET', checker_term, string.format('%.0f', term))
end
redis.call('SET', checker, ARGV[1], 'PX', ARGV[2])
return tonumber(redis.call('GET', checker_term))
