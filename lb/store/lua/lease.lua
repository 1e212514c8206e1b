-- A batch of a worker's lease line: releases the leases that have ended, then picks for the requests that wait.
--@include traffic
--@include strategies
--@include count
--@include schema
--@include shape
-- KEYS: worker failures
-- ARGV: seed, generation (which of the worker's registrations this batch follows),
--       number of servers at which one request ended, with success, then their ids,
--       number of other servers, then for each: id, requests ended, 1 if any succeeded, failures since then,
--       number of plain picks,
--       number of picks with exclusions, then for each: number of excluded, their server ids
-- Return: {pool version, {server id, consecutive failures, …} of those that failed, picked id or '' …};
--         error UNREGISTERED if the store does not hold the worker's counts, OUTDATED if the worker has registered
--         again since it sent this, EMPTY if there is no pool, or nothing to pick in a damaged one, SCHEMA if it is
--         that of another version of lb
local known = redis.call('HGET', worker, 'generation')
if not known then return redis.error_reply('UNREGISTERED the counts of this worker are not held here') end
if known ~= ARGV[2] then return redis.error_reply('OUTDATED this worker has registered anew since') end
if other_schema(found) then return refuse(found) end
if found ~= SCHEMA or not rule or not tonumber(at) then return redis.error_reply('EMPTY the store holds no pool') end
seed = tonumber(ARGV[1])

local position = 2
local function argument()
  position = position + 1
  return ARGV[position]
end

local failed = {}
local any_failures = redis.call('EXISTS', failures) == 1 -- rarely so: this saves a call for each server
for _ = 1, argument() do
  local id = argument()
  count(id, -1)
  if any_failures then redis.call('HDEL', failures, id) end
end
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
settle()

local reply = { tonumber(at), failed }
local barren, damaged = false, false -- a request found no server; what it found is no id
local picked, uncounted = {}, {} -- picks added up by server, where the next pick does not depend on the count
local function grant(id)
  reply[#reply + 1] = id or ''
  if not id then
    barren = true
    return
  end
  if id == '' then damaged = true end
  if rule.counted then
    count(id, 1)
  else
    if not uncounted[id] then picked[#picked + 1] = id end
    uncounted[id] = (uncounted[id] or 0) + 1
  end
end

local none, wanted = {}, tonumber(argument())
while wanted > 0 do
  local ids = rule.take and rule.take(wanted) or { rule.pick(none) }
  if #ids == 0 then break end
  for _, id in ipairs(ids) do grant(id) end
  wanted = wanted - #ids
  settle()
end
for _ = 1, wanted do grant(nil) end
for _ = 1, argument() do
  local excluded = {}
  for _ = 1, argument() do excluded[argument()] = true end
  grant(rule.pick(excluded))
  settle()
end
if damaged or barren and not intact() then return redis.error_reply('EMPTY the pool in the store is damaged') end
for _, id in ipairs(picked) do count(id, uncounted[id]) end
return reply
