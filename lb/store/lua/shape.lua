-- Notes what a change of the pool leaves behind, so that a part which is lost later shows at a glance.
-- KEYS: version strategy fail_open servers cycle load shape
local function note_shape()
  redis.call('HSET', shape,
    'version', redis.call('GET', version), 'strategy', redis.call('GET', strategy),
    'fail_open', redis.call('GET', fail_open) or 'on', 'members', redis.call('ZCARD', servers),
    'cycle', redis.call('LLEN', cycle), 'load', redis.call('ZCARD', load))
end

-- Whether what picks need is there; it does not look at the columns. If not, whether the members are.
local function intact()
  local noted = redis.call('HMGET', shape, 'version', 'members', 'cycle', 'load')
  local members = noted[1] == redis.call('GET', version) and noted[2] == tostring(redis.call('ZCARD', servers))
  return members and noted[3] == tostring(redis.call('LLEN', cycle))
    and noted[4] == tostring(redis.call('ZCARD', load)), members
end
