-- Gives back to a store that was emptied, or fell back to an earlier state, what perhaps nobody else can say again: the
-- base, and runs that have ended.
-- KEYS: metrics metrics_base metrics_folded
-- The keys of the runs come after them.
-- ARGV: when the counting began in the store that is known, the base as JSON {field: value, …},
--       then for each run: its name, unix seconds of its last publication, its number, its fields as JSON
-- Return: 1, or 0 if all of it is there
local done = 0

local function put(key, fields)
  for field, value in pairs(cjson.decode(fields)) do redis.call('HSET', key, field, value) end
  done = 1
end

if redis.call('HGET', metrics_base, 'since') ~= ARGV[1] then
  put(metrics_base, ARGV[2])
  redis.call('HSET', metrics_base, 'since', ARGV[1])
end
for i = FURTHER, #KEYS do
  local first = 3 + 4 * (i - FURTHER)
  local run, heard, number, fields = unpack(ARGV, first, first + 3)
  local held = redis.call('HGET', KEYS[i], 'number')
  if not redis.call('ZSCORE', metrics_folded, run) and (not held or (tonumber(held) or 0) < tonumber(number)) then
    put(KEYS[i], fields)
    if not held then redis.call('ZADD', metrics, heard, run) end
  end
end
return done
