-- Adds a server at the end of the pool, ready and up. Needs clock; the caller deletes its `removed_server`.
-- KEYS: servers urls weights admin health sources since removed removed_unanswered connections
local function join(id, url, weight, source)
  local last = redis.call('ZRANGE', servers, -1, -1, 'WITHSCORES')
  redis.call('ZADD', servers, (last[2] or 0) + 1, id)
  redis.call('HSET', urls, id, url)
  redis.call('HSET', weights, id, weight)
  redis.call('HSET', admin, id, 'ready')
  redis.call('HSET', health, id, 'up')
  redis.call('HSET', sources, id, source)
  redis.call('HSET', since, id, now)
  redis.call('HSETNX', connections, id, 0) -- count.lua needs it; a server that is back may have some
  redis.call('ZREM', removed, id)
  redis.call('ZREM', removed_unanswered, id)
end
