-- One batch of a worker's lease line: gives back what ended, then picks for those who wait.
--@include traffic
--@include strategies
--@include count
-- KEYS: workers version failures
-- ARGV: worker id, seed,
--       number of releases, then for each: server id, requests ended, 1 if any succeeded, failures since then,
--       number of plain picks,
--       number of picks with exclusions, then for each: number of excluded, their server ids
-- Return: {pool version, {server id, consecutive failures, …} of those that failed, picked id or '' …};
--         error UNREGISTERED if the worker's counts are not held here, EMPTY if there is no pool
local position = 0
local function argument()
  position = position + 1
  return ARGV[position]
end

if not redis.call('ZSCORE', workers, argument()) then
  return redis.error_reply('UNREGISTERED the counts of this worker are not held here')
end
if not rule then return redis.error_reply('EMPTY the store holds no pool') end
seed = tonumber(argument())

local failed = {}
local any_failures = redis.call('EXISTS', failures) == 1 -- rarely: spares a call for each server
for _ = 1, argument() do
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
local picked, uncounted = {}, {} -- added up by server where the next pick does not depend on the count
local function grant(excluded)
  local id = rule.pick(excluded)
  reply[#reply + 1] = id or ''
  if not id then return end
  if rule.counted then
    count(id, 1)
  else
    if not uncounted[id] then picked[#picked + 1] = id end
    uncounted[id] = (uncounted[id] or 0) + 1
  end
end

local none, plain = {}, tonumber(argument())
if rule.expect then rule.expect(plain) end
for _ = 1, plain do grant(none) end
for _ = 1, argument() do
  local excluded = {}
  for _ = 1, argument() do excluded[argument()] = true end
  grant(excluded)
end
for _, id in ipairs(picked) do count(id, uncounted[id]) end
return reply
