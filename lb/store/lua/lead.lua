-- Takes or renews the lead among the health-checkers. Each new lead has a greater term, even after the store has lost
-- its data, so that fence.lua recognises what a former leader still sends. After a time without a leader the clocks of
-- unanswered checks start anew: nobody checked, so nobody knows that a server was silent all the while.
--@include clock
--@include values
-- KEYS: checker checker_term unanswered
-- ARGV: health-checker id, milliseconds until the lead ends unless it is renewed
-- Return: the term, or nil if another leads
local LONGEST_MS = 60000 -- no lead lasts longer, so this one is of somebody else, and might never end
local leader, left = redis.call('GET', checker), redis.call('PTTL', checker)
local last = whole(redis.call('GET', checker_term))
if not last or left < 0 or left > LONGEST_MS then leader = nil end -- without a term, no report is taken
if leader and leader ~= ARGV[1] then return nil end
if not leader then
  redis.call('DEL', unanswered)
  local term = math.max((last or 0) + 1, now * 1000)
  redis.call('SET', checker_term, string.format('%.0f', term))
end
redis.call('SET', checker, ARGV[1], 'PX', ARGV[2])
return whole(redis.call('GET', checker_term))
