-- Reads the whole pool at one instant, column by column.
--@include schema
--@include damage
-- KEYS: version strategy fail_open servers
-- KEYS: urls weights admin health sources reasons since
-- KEYS: connections failures check_results check_times check_durations unanswered
-- Return: {version (0 if none), strategy ('' if none), on or off (whether it fails open), what is damaged ('' if the pool
--          is whole), server ids in pool order, then each hash: {field, value, …}}; error SCHEMA
local found = redis.call('GET', schema)
if other_schema(found) then return refuse(found) end
local reply = {
  pool_version(redis.call('GET', version)) or 0,
  redis.call('GET', strategy) or '',
  redis.call('GET', fail_open) or 'on',
  damage() or '',
  redis.call('ZRANGE', servers, 0, -1),
}
for _, key in ipairs({
  urls, weights, admin, health, sources, reasons, since,
  connections, failures, check_results, check_times, check_durations, unanswered,
}) do
  reply[#reply + 1] = redis.call('HGETALL', key)
end
return reply
