-- Takes or renews the lead among the health-checkers. Each new lead has a greater term, even after the store has lost
-- its data, so that fence.lua recognises what a former leader still sends. After a time without a leader the clocks of
-- unanswered checks start anew: nobody checked, so nobody knows that a server was silent all the while.
--@include clock
-- KEYS: checker checker_term unanswered
-- ARGV: health-checker id, milliseconds until the lead ends unless it is renewed
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
