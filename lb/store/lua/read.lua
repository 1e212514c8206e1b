-- Reads the whole pool at one instant, column by column.
--@include schema
-- KEYS: version strategy servers
-- KEYS: urls weights admin health sources reasons since
-- KEYS: connections failures check_results check_times check_durations unanswered
-- Return: {version, strategy ('' if none), server ids in pool order, then each hash: {field, value, …}}; error SCHEMA
local found = redis.call('GET', schema)
if found and found ~= SCHEMA then return refuse(found) end
local reply = {
  tonumber(redis.call('GET', version) or 0),
  redis.call('GET', strategy) or '',
  redis.call('ZRANGE', servers, 0, -1),
}
for _, column in ipairs({
  urls, weights, admin, health, sources, reasons, since,
  connections, failures, check_results, check_times, check_durations, unanswered,
}) do
  reply[#reply + 1] = redis.call('HGETALL', column)
end
return reply
