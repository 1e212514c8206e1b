-- What the strategies' own files register in and draw from. Each entry: pick(excluded) → server id or nil;
-- optional: take(n) → at most n server ids, as n picks that exclude nobody would give them one after the other;
-- counted(ids, connections by id) after counts changed, before the next pick; prepare(eligible ids) after the pool
-- changed.
local strategies = {}
local definitions = {} -- by name, the functions that register them: a batch needs but one
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
