-- Removes a server that is down and has left its checks unanswered for too long; not one that an operator has drained.
-- At most half of the pool may go in this way within an hour, as a health-checker that is cut off must not empty it. For
-- the same reason none goes while no server is up and servers answer requests all the same.
--@include strategies
--@include refresh
--@include clock
--@include event
--@include record
--@include forget
--@include fence
--@include usable
-- KEYS: removed_unanswered answered
-- ARGV: server id, seconds without an answer, by whom, reason, term of the lead
-- Return: 1, or nil if it stays; error DEPOSED, EMPTY, SCHEMA
local refusal = deposed(ARGV[5]) or unusable()
if refusal then return refusal end
local id, by, reason = ARGV[1], ARGV[3], ARGV[4]
local since_when = moment(redis.call('HGET', unanswered, id))
if not since_when or now - since_when < tonumber(ARGV[2]) then return nil end
if redis.call('HGET', health, id) ~= 'down' or redis.call('HGET', admin, id) ~= 'ready' then return nil end

local function objection()
  if redis.call('EXISTS', fail_open_since) == 1 and redis.call('EXISTS', answered) == 1 then
    return 'no server is up, and servers answer requests'
  end
  local gone = redis.call('ZCOUNT', removed_unanswered, now - 3600, '+inf')
  local total = redis.call('ZCARD', servers) + gone
  if gone + 1 > math.floor(total / 2) then
    return gone .. ' of ' .. total .. ' servers left so within the hour, and half of the pool stays'
  end
end

local why_not = objection()
if why_not then
  if redis.call('SADD', removal_refused, id) == 1 then
    event('removal-refused', id, by, reason .. ', but ' .. why_not)
  end
  return nil
end

record(id, reason)
forget(id)
keep_newest(removed_unanswered, id)
event('removed', id, by, reason)
refresh(by)
return 1
