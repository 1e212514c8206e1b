-- Keeps what is needed to restore a server that is about to leave, for 30 days, of the 1,000 that left last. Needs clock.
-- What somebody else has written there, or deleted, is put right.
-- KEYS: removed removed_server urls weights sources
local KEPT_SECONDS, KEPT_SERVERS = 30 * 24 * 3600, 1000

local function keep_newest(key, id)
  redis.call('ZADD', key, now, id)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - KEPT_SECONDS)
  redis.call('ZREMRANGEBYRANK', key, 0, -KEPT_SERVERS - 1)
end

local function record(id, reason)
  keep_newest(removed, id)
  redis.call('DEL', removed_server)
  redis.call('HSET', removed_server,
    'url', redis.call('HGET', urls, id) or '',
    'weight', tonumber(redis.call('HGET', weights, id)) or 1,
    'source', redis.call('HGET', sources, id) == 'config' and 'config' or 'admin',
    'reason', reason)
  redis.call('EXPIRE', removed_server, KEPT_SECONDS)
end
