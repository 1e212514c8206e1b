-- Keeps what works with one schema from a pool of another, and acts from a store that holds no pool.
-- KEYS: schema
local function foreign(found)
  return redis.error_reply('SCHEMA it holds a pool of schema ' .. found .. ', this version of lb works with ' .. SCHEMA)
end

-- The error to return if there is a pool, and it is of another schema.
local function strange()
  local found = redis.call('GET', schema)
  return found and found ~= SCHEMA and foreign(found) or nil
end

-- The same, or if there is no pool: nobody has made one yet, or it was lost and the workers are about to put it
-- back, which would undo what is done meanwhile.
local function absent()
  local found = redis.call('GET', schema)
  if found == SCHEMA then return nil end
  return found and foreign(found) or redis.error_reply('EMPTY the store holds no pool')
end

-- Marks a store that has no pool yet as one of this schema; the error to return if it is of another.
local function claim()
  redis.call('SETNX', schema, SCHEMA)
  return strange()
end
