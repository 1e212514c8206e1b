-- A store that was emptied has back what nobody else can tell again: the base, and runs that count no more.
-- KEYS: metrics metrics_base metrics_folded
-- The keys of the runs come after them.
-- ARGV: when the counting began in the store that was lost, the base as JSON {field: value, …},
--       then for each run: its name, unix seconds of its last publication, its fields as JSON
-- Return: 1, or 0 if somebody has put it back already
if redis.call('HGET', metrics_base, 'since') == ARGV[1] then return 0 end

local function put(key, fields)
  for field, value in pairs(cjson.decode(fields)) do redis.call('HSETNX', key, field, value) end
end

put(metrics_base, ARGV[2])
redis.call('HSET', metrics_base, 'since', ARGV[1])
for i = 4, #KEYS do
  local run, heard, fields = unpack(ARGV, 3 * i - 9, 3 * i - 7)
  if redis.call('EXISTS', KEYS[i]) == 0 and not redis.call('ZSCORE', metrics_folded, run) then
    redis.call('ZADD', metrics, heard, run)
    put(KEYS[i], fields)
  end
end
return 1
