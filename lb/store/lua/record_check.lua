-- Records the outcome of a health check, and since when checks go unanswered. It is set_health that changes the health.
-- That clock starts again with the settings: what did not answer by the settings of before may answer by those of now.
--@include clock
--@include fence
--@include values
-- KEYS: servers check_results check_times check_durations check_settings unanswered removal_refused
-- ARGV: server id, outcome, milliseconds that it took, 1 if the server answered, term of the lead,
--       fingerprint of the settings that it was made with
-- Return: nil; error DEPOSED
local refusal = deposed(ARGV[5])
if refusal then return refusal end
local id = ARGV[1]
if not redis.call('ZSCORE', servers, id) then return nil end

if redis.call('HGET', check_settings, id) ~= ARGV[6] then
  redis.call('HSET', check_settings, id, ARGV[6])
  redis.call('HDEL', unanswered, id)
end
redis.call('HSET', check_results, id, ARGV[2])
redis.call('HSET', check_times, id, now)
redis.call('HSET', check_durations, id, ARGV[3])
if ARGV[4] == '1' then
  redis.call('HDEL', unanswered, id)
  redis.call('SREM', removal_refused, id)
else
  local since_when = moment(redis.call('HGET', unanswered, id))
  if not since_when or since_when > tonumber(now) then redis.call('HSET', unanswered, id, now) end
end
