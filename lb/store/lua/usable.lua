-- Refuses acts on a store without a pool, or with a damaged one: nobody has made one yet, or it was lost, and the
-- workers are about to put it back, which would undo what is done meanwhile.
--@include schema
--@include damage
-- KEYS: schema version
-- Returns the error to reply with, or nil if there is a whole pool of our schema to act on, or, if there may be none, no
-- pool at all.
local function unusable(may_be_none)
  local found = redis.call('GET', schema)
  if other_schema(found) then return refuse(found) end
  local lost = damage()
  if lost then return redis.error_reply('EMPTY the pool in the store is damaged (' .. lost .. ')') end
  if not may_be_none and not (found and redis.call('GET', version)) then
    return redis.error_reply('EMPTY the store holds no pool')
  end
end
