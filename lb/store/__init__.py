"""The store: everything that the processes of a fleet share. Only this package imports redis.

A newcomer may read it in this order:

- `keys` is the schema; `scripts` loads the acts in `lua/`; `session` runs them, with our errors for redis's.
- `pool`, `fleet`, `metrics` and `outbox` are the typed acts, with `views` and `refusals` as their pure parts.
- `lease_line` is how a worker picks: `lease_wire` sends its batches, `redial` reconnects, and `local_picks`
  picks while the store is away; `lease` holds what they have in common.
- `client` opens all of these by a URL, with `engines` for Sentinel and Cluster; `embedded` is our own store.
"""
