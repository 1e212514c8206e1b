-- Takes or renews the leadership among the health-checkers. After a time without a leader the clocks of unanswered
-- checks start anew: nobody looked, so nobody can say that a server was away all that time.
-- KEYS: checker unanswered
-- ARGV: health-checker id, milliseconds until the leadership ends unless renewed
-- Return: 1, or nil if another leads
local leader = redis.call('GET', checker)
if leader and leader ~= ARGV[1] then return nil end
if not leader then redis.call('DEL', unanswered) end
redis.call('SET', checker, ARGV[1], 'PX', ARGV[2])
return 1
