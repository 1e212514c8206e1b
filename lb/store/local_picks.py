"""LocalPicks: how a worker picks on its own while the store does not answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection

from lb.limited_log import LimitedLog
from lb.model import ServerId, Snapshot
from lb.strategies import DEFAULT, STRATEGIES, LocalPool

_limited = LimitedLog(__name__)

#: For so long a barred server is not picked. Then it is tried again, and the first failure bars it anew.
BARRED_SECONDS = 5.0
_SEEDS = 2**31 - 2


class LocalPicks:
    """Picks from the last snapshot with the strategy's Python twin, and avoids servers that fail.

    `limit` failures in a row bar a server, just as they mark it down when the store counts them; 0: never.
    """

    def __init__(self, limit: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = LocalPool([], {}, seed=random.randrange(1, _SEEDS))
        self._strategy = DEFAULT
        self._limit = limit
        self._clock = clock
        self._barred_until: dict[ServerId, float] = {}

    def update(self, snapshot: Snapshot, held: dict[ServerId, int]) -> None:
        """Use this snapshot from now on. `held` is the caller's count of requests in flight, not a copy."""
        pool = LocalPool.of(snapshot.servers, fail_open=snapshot.fail_open)
        pool.connections = held
        pool.cursor, pool.seed = self._pool.cursor, self._pool.seed
        self._pool = pool
        self._strategy = STRATEGIES.get(snapshot.strategy, DEFAULT)
        for server in [server for server, count in held.items() if not count]:
            del held[server]  # or servers that come and go would pile up here

    def pick(self, excluded: Collection[ServerId]) -> ServerId | None:
        """Pick a server that is not excluded; a barred one only if no other is left; None if none is."""
        barred = self._barred()
        server = self._strategy.pick(self._pool, {*excluded, *barred}) if barred else None
        return server or self._strategy.pick(self._pool, excluded)

    def failed(self, server: ServerId, in_a_row: int) -> None:
        """Note a failure of a server, the last of so many in a row."""
        if not self._limit or in_a_row < self._limit:
            return
        if server not in self._barred_until:
            _limited.warning(
                "%s is not picked while degraded: %d failures in a row", server, in_a_row, of=server
            )
        self._barred_until[server] = self._clock() + BARRED_SECONDS

    def forget(self) -> None:
        """Bar no server any longer, as the store decides again."""
        self._barred_until.clear()

    def _barred(self) -> list[ServerId]:
        """Return the servers to avoid now: at most half of the eligible ones, as when the store decides."""
        if not self._barred_until:
            return []
        now = self._clock()
        barred = [server for server in self._pool.weights if self._barred_until.get(server, 0.0) > now]
        return barred[: len(self._pool.weights) // 2]
