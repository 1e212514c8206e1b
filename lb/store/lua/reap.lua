-- Takes back the connections of a worker that leaves (silence 0), or that has been silent for too long.
--@include traffic
--@include strategies
--@include count
--@include clock
--@include event
--@include values
-- KEYS: workers worker
-- ARGV: worker id, by whom, seconds of silence that mean death, kind of the event
-- Return: requests taken back, or -1 if the worker is unknown or was heard of in time
local silence = tonumber(ARGV[3])
local heartbeat = redis.call('ZSCORE', workers, ARGV[1])
if not heartbeat or (silence > 0 and now - heartbeat <= silence and heartbeat - now <= 60) then return -1 end

local taken = 0
local held = redis.call('HGETALL', worker_connections)
for i = 1, #held, 2 do
  local number = whole(held[i + 1]) or 0
  count(held[i], -number)
  taken = taken + number
end
settle()
redis.call('DEL', worker, worker_connections)
redis.call('ZREM', workers, ARGV[1])
durable()
event(ARGV[4], '', ARGV[2], ARGV[1] .. ', ' .. taken .. ' connections taken back')
return taken
