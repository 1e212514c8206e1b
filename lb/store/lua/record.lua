-- Keeps what is needed to restore a server that is about to leave, for 30 days. Needs clock.
-- KEYS: removed removed_server urls weights sources
local KEPT_SECONDS = 30 * 24 * 3600

local function record(id, reason)
  redis.call('ZREMRANGEBYSCORE', removed, '-inf', now - KEPT_SECONDS)
  redis.call('ZADD', removed, now, id)
  redis.call('DEL', removed_server)
  redis.call('HSET', removed_server,
    'url', redis.call('HGET', urls, id),
    'weight', redis.call('HGET', weights, id),
    'source', redis.call('HGET', sources, id),
    'reason', reason)
  redis.call('EXPIRE', removed_server, KEPT_SECONDS)
end
