-- Adds to the base what an ended run has counted, so that the sum over all runs stays the same. What was added stays in
-- the hash of the run for a while: a host that was only cut off goes on from there, so that nothing counts twice.
--@include clock
-- KEYS: metrics metrics_base metrics_folded metrics_run
-- ARGV: run, seconds of silence after which a run has ended, seconds for which it is known as folded, and its hash
--       is kept unless it has said that it ends,
--       1 if its host has another run: then the host's own figures are not merged with those of other hosts
-- Return: 1, or 0 if the run was heard of since, or is folded already
local heard = redis.call('ZSCORE', metrics, ARGV[1])
if not heard or now - heard <= tonumber(ARGV[2]) then return 0 end

local function sum(base, more)
  local names, counts = {}, {}
  for name, count in (base .. ' ' .. more):gmatch('(%S+)=(%S+)') do
    if not counts[name] then names[#names + 1] = name end
    counts[name] = (counts[name] or 0) + (tonumber(count) or 0)
  end
  for i, name in ipairs(names) do names[i] = name .. '=' .. string.format('%.17g', counts[name]) end
  return table.concat(names, ' ')
end

local function add_to_base(row, counts)
  redis.call('HSET', metrics_base, row, sum(redis.call('HGET', metrics_base, row) or '', counts))
end

local about = { host = true, number = true, now = true, ended = true }
local fields = redis.call('HGETALL', metrics_run)
for i = 1, #fields, 2 do
  local row, counts = fields[i], fields[i + 1]
  if not about[row] then
    redis.call('HSET', metrics_run, row, counts) -- to disk and replicas too, like the base
    if ARGV[4] ~= '1' and row:sub(1, 1) == '@' then row = '@' end -- hosts come and go under ever new names
    add_to_base(row, counts)
  end
end
if ARGV[4] ~= '1' then -- nor does what its runs before have left there stay apart
  local row = '@' .. (redis.call('HGET', metrics_run, 'host') or '')
  local kept = row ~= '@' and redis.call('HGET', metrics_base, row)
  if kept then
    add_to_base('@', kept)
    redis.call('HDEL', metrics_base, row)
  end
end
if redis.call('HGET', metrics_run, 'ended') == '1' then
  redis.call('DEL', metrics_run)
else
  redis.call('EXPIRE', metrics_run, ARGV[3])
end
redis.call('ZREM', metrics, ARGV[1])
redis.call('ZADD', metrics_folded, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', metrics_folded, '-inf', now - tonumber(ARGV[3]))
return 1
