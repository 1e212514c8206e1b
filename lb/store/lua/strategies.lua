-- The table in which the files of the strategies register, and what they share. Each entry has pick(excluded), which
-- returns a server id or nil, and may have: take(n), which returns at most n server ids, the same as n picks without
-- exclusions; counted(ids, connections by id), called after counts have changed and before the next pick;
-- prepare(eligible ids), called after the pool has changed.
local strategies = {}
local definitions = {} -- the functions that register them, by name: a batch needs only one
local seed = 1

-- MINSTD, as in strategies/base.py: the worker passes the seed, as Lua's own generator restarts in each call.
local function draw()
  seed = seed * 48271 % 2147483647
  return seed
end

-- The entry of a strategy. A pool whose strategy nobody has chosen yet, or that only a newer version of lb knows,
-- goes by round-robin, the default of the configuration.
local function strategy_of(name)
  if not definitions[name] then name = 'round-robin' end
  if not strategies[name] then definitions[name]() end
  return strategies[name]
end
