-- Keeps what is needed to restore a server that is about to leave, for 30 days. Needs clock. What somebody else has
-- written there, or deleted, is put right.
-- KEYS: removed removed_server urls weights sources
local KEPT_SECONDS = 30 * 24 * 3600

local function record(id, reason)
  redis.call('ZREMRANGEBYSCORE', removed, '-inf', now - KEPT_SECONDS)
  redis.call('ZADD', removed, now, id)
  redis.call('DEL', removed_server)
  redis.call('HSET', removed_server,
    'url', redis.call('HGET', urls, id) or '',
    'weight', tonumber(redis.call('HGET', weights, id)) or 1,
    'source', redis.call('HGET', sources, id) == 'config' and 'config' or 'admin',
    'reason', reason)
  redis.call('EXPIRE', removed_server, KEPT_SECONDS)
end
