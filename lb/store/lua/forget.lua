-- Deletes everything that the pool holds of a server. Its connection count stays while requests to it are in flight;
-- count.lua deletes it when the last one ends.
-- KEYS: servers urls weights admin health reasons since sources failures connections
-- KEYS: check_results check_times check_durations check_settings left_out unanswered removal_refused
local function forget(id)
  redis.call('ZREM', servers, id)
  redis.call('SREM', removal_refused, id)
  for _, column in ipairs({
    urls, weights, admin, health, reasons, since, sources, failures,
    check_results, check_times, check_durations, check_settings, left_out, unanswered,
  }) do
    redis.call('HDEL', column, id)
  end
  if redis.call('HGET', connections, id) == '0' then
    redis.set_repl(redis.REPL_NONE) -- see traffic.lua: on a replica the count may not be zero
    redis.call('HDEL', connections, id)
    redis.set_repl(redis.REPL_ALL)
  end
end
