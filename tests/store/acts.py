"""Short forms for tests of the store: servers, checks, and a worker that speaks to it directly."""

from __future__ import annotations

import redis

from lb.model import Check, ServerId, ServerSpec, WorkerId
from lb.store.keys import Keys
from lb.store.session import Session

UNANSWERED = Check(passed=False, answered=False, detail="connection refused", duration_seconds=0.001)
PASSED = Check(passed=True, answered=True, detail="200 OK", duration_seconds=0.0125)
ANSWERED_BADLY = Check(passed=False, answered=True, detail="500 Internal Server Error", duration_seconds=0.1)


def spec(server: ServerId, weight: int = 1) -> ServerSpec:
    return ServerSpec(server, f"http://{server}", weight)


class Worker:
    """A worker's side of lease.lua and register.lua, one call at a time."""

    def __init__(self, connection: redis.Redis, keys: Keys, name: str) -> None:
        self.id = WorkerId(name)
        self._session = Session(connection, keys)
        self._own = {
            "worker": keys.worker(self.id),
            "worker_connections": keys.worker_connections(self.id),
        }
        self.generation = 0
        self.register()

    def register(self, held: dict[ServerId, int] | None = None) -> int:
        counts = [word for server, count in (held or {}).items() for word in (server, count)]
        self.generation += 1
        return self._session.run("register", self.id, "host", 1, 1.5, self.generation, *counts, **self._own)

    def lease(
        self,
        picks: int = 0,
        excluding: list[list[ServerId]] | None = None,
        releases: list[tuple[ServerId, int, int, int]] | None = None,
        seed: int = 1,
    ) -> list[ServerId]:
        """Send one batch; returns what was picked, '' where nothing could be."""
        _, _, *picked = self._batch(picks, excluding or [], releases or [], seed)
        return picked

    def release(self, server: ServerId, *, succeeded: bool = False, failures: int = 0) -> list[str | int]:
        """Give back one request; returns the servers that failed with their counts."""
        return self._batch(0, [], [(server, 1, int(succeeded), failures)], 1)[1]

    def fail(self, server: ServerId, failures: int) -> list[str | int]:
        """Report failures without a request in flight."""
        return self._batch(0, [], [(server, 0, 0, failures)], 1)[1]

    def _batch(
        self,
        picks: int,
        excluding: list[list[ServerId]],
        releases: list[tuple[ServerId, int, int, int]],
        seed: int,
    ) -> list:
        usual = [server for server, *outcome in releases if outcome == [1, 1, 0]]
        others = [release for release in releases if release[0] not in usual]
        words = [
            *(seed, self.generation, len(usual), *usual, len(others)),
            *(word for release in others for word in release),
            *(picks, len(excluding)),
            *(word for excluded in excluding for word in (len(excluded), *excluded)),
        ]
        return self._session.run("lease", *words, **self._own)
