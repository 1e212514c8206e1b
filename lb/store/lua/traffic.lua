-- Writes of traffic (counts, cursor, heartbeats) go neither into the store's file nor to its replicas: after a
-- restart or a fail-over the workers register what they hold, so nothing of it is worth a write to disk. That
-- takes 310 bytes of file per lease away, and a fifth of the store's processor time.
redis.set_repl(redis.REPL_NONE)

-- Makes what follows durable again: a change of the pool, an event.
local function durable() redis.set_repl(redis.REPL_ALL) end
