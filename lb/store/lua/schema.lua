-- Marks a store that has no pool yet with the caller's schema; the error to return if it is of another schema.
-- KEYS: schema
local function claim(number)
  redis.call('SETNX', schema, number)
  local found = redis.call('GET', schema)
  if found == number then return nil end
  return redis.error_reply('SCHEMA it holds a pool of schema ' .. found .. ', this version of lb works with ' .. number)
end
