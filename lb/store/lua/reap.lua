-- Takes back everything that a worker held: one that left (silence 0), or one silent for too long.
--@include strategies
--@include count
-- KEYS: workers worker events
-- ARGV: worker id, by whom, seconds of silence that mean death, kind of the event
-- Return: requests taken back, or -1 if the worker is unknown or was heard of in time
local heartbeat = redis.call('ZSCORE', workers, ARGV[1])
if not heartbeat or redis.call('TIME')[1] - heartbeat < tonumber(ARGV[3]) then return -1 end

local taken = 0
local held = redis.call('HGETALL', worker_connections)
for i = 1, #held, 2 do
  count(held[i], -held[i + 1])
  taken = taken + held[i + 1]
end
redis.call('DEL', worker, worker_connections)
redis.call('ZREM', workers, ARGV[1])
redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'kind', ARGV[4], 'server', '', 'by', ARGV[2],
  'detail', ARGV[1] .. ', ' .. taken .. ' connections taken back')
return taken
