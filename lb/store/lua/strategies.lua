-- What the strategies' own files register in and draw from. Each entry: pick(excluded) → server id or nil;
-- optional: take(n) → at most n server ids, as n picks that exclude nobody would give them one after the other;
-- counted(ids, connections by id) after counts changed, before the next pick; prepare(eligible ids) after the pool
-- changed.
local strategies = {}
local seed = 1

-- MINSTD, as in strategies/base.py: the worker passes the seed, as Lua's own generator restarts in each call.
local function draw()
  seed = seed * 48271 % 2147483647
  return seed
end
