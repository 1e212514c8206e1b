-- Marks a server up or down for everyone. Up resets its count of failures. Needs refresh, clock, event.
-- KEYS: health reasons since failures
local function flip(id, observed, reason, by)
  redis.call('HSET', health, id, observed)
  redis.call('HSET', since, id, now)
  if observed == 'up' then
    redis.call('HDEL', reasons, id)
    redis.call('HDEL', failures, id)
  else
    redis.call('HSET', reasons, id, reason)
  end
  event(observed, id, by, reason)
  refresh(by)
end
