-- Refuses work on a pool of another schema, and operators' acts on a store without a pool: nobody has made one yet, or
-- it was lost, and the workers are about to put it back, which would undo what is done meanwhile.
-- `found` is what the store holds as `schema`; the result is the error to reply with if that is not SCHEMA.
-- KEYS: schema
local function refuse(found)
  if not found then return redis.error_reply('EMPTY the store holds no pool') end
  return redis.error_reply('SCHEMA it holds a pool of schema ' .. found .. ', this version of lb works with ' .. SCHEMA)
end

-- Returns that error, or nil if there is a pool of our schema to act on.
local function absent()
  local found = redis.call('GET', schema)
  return found ~= SCHEMA and refuse(found) or nil
end
