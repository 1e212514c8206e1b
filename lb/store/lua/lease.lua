-- One batch of a worker's lease line: gives back what ended, then picks for those who wait.
--@include traffic
--@include strategies
--@include count
--@include schema
-- KEYS: worker version failures
-- ARGV: seed, generation: which of the worker's registrations this came after,
--       number of servers at which one request ended, and well, then their ids,
--       number of other servers, then for each: id, requests ended, 1 if any succeeded, failures since then,
--       number of plain picks,
--       number of picks with exclusions, then for each: number of excluded, their server ids
-- Return: {pool version, {server id, consecutive failures, …} of those that failed, picked id or '' …};
--         error UNREGISTERED if the worker's counts are not held here, OUTDATED if it registered anew since it sent
--         this, EMPTY if there is no pool, SCHEMA if it is another version's
local known = redis.call('HGET', worker, 'generation')
if not known then return redis.error_reply('UNREGISTERED the counts of this worker are not held here') end
if known ~= ARGV[2] then return redis.error_reply('OUTDATED this worker has registered anew since') end
local refusal = absent()
if refusal then return refusal end
if not rule then return redis.error_reply('EMPTY the store holds no strategy') end
seed = tonumber(ARGV[1])

local position = 2
local function argument()
  position = position + 1
  return ARGV[position]
end

-- The next arguments, of each group of `size` the first.
local function arguments(groups, size)
  local list = {}
  for i = 1, groups do list[i] = ARGV[position + (i - 1) * size + 1] end
  return list
end

local failed = {}
local any_failures = redis.call('EXISTS', failures) == 1 -- rarely: spares a call for each server
local usual = arguments(tonumber(argument()), 1)
meet(usual)
for _, id in ipairs(usual) do
  count(id, -1)
  if any_failures then redis.call('HDEL', failures, id) end
end
position = position + #usual

local others = tonumber(argument())
meet(arguments(others, 4))
for _ = 1, others do
  local id, ended = argument(), tonumber(argument())
  local succeeded, failures_since = argument() == '1', tonumber(argument())
  count(id, -ended)
  if succeeded and any_failures then redis.call('HDEL', failures, id) end
  if failures_since > 0 and redis.call('ZSCORE', servers, id) then
    failed[#failed + 1] = id
    failed[#failed + 1] = redis.call('HINCRBY', failures, id, failures_since)
  end
end

local reply = { tonumber(redis.call('GET', version)), failed }
local function grant(ids)
  meet(ids)
  for _, id in ipairs(ids) do
    count(id, 1)
    reply[#reply + 1] = id
  end
  settle()
  return #ids
end

local none = {}
local function take(wanted)
  if rule.take then return rule.take(wanted) end
  local ids = {}
  for i = 1, rule.counted and 1 or wanted do ids[i] = rule.pick(none) end
  return ids
end

settle()
local wanted = tonumber(argument())
while wanted > 0 do
  local granted = grant(take(wanted))
  if granted == 0 then break end
  wanted = wanted - granted
end
for _ = 1, wanted do reply[#reply + 1] = '' end
for _ = 1, argument() do
  local excluded = {}
  for _ = 1, argument() do excluded[argument()] = true end
  if grant({ rule.pick(excluded) }) == 0 then reply[#reply + 1] = '' end
end
keep()
return reply
