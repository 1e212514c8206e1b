-- Refuses work on a pool of another schema. `found` is what the store holds as `schema`; a value that no version of lb
-- writes is damage.
-- KEYS: schema
local function other_schema(found) return found and found ~= SCHEMA and found:find('^[1-9]%d?%d?%d?$') end

local function refuse(found)
  return redis.error_reply('SCHEMA it holds a pool of schema ' .. found .. ', this version of lb works with ' .. SCHEMA)
end
