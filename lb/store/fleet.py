"""Fleet: the worker processes of all hosts, known by their heartbeats."""

from __future__ import annotations

from typing import TypeAlias

import redis

from lb.model import WorkerId, WorkerStatus
from lb.store import views
from lb.store.keys import Keys
from lb.store.session import Session

#: When a worker was last degraded, from and until, in unix seconds: (None, None) if it never was, and None as
#: the second if it still is.
Degraded: TypeAlias = tuple[float | None, float | None]


class Fleet:
    """The workers of a pool, and what dead ones still held. Raises StoreUnavailableError and StoreError."""

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)
        self._keys = keys

    def heartbeat(  # noqa: PLR0913 - each is a word of the message
        self,
        worker: WorkerId,
        version: int,
        silence_seconds: float,
        degraded: Degraded = (None, None),
        *,
        answered: bool = False,
        members: int | None = None,
        busy: bool = False,
    ) -> tuple[bool, int, list[WorkerId]]:
        """Send a worker's heartbeat: it lives, and its snapshot is of this pool `version`.

        `answered` says whether servers have answered its requests since the last heartbeat, `members` how
        many its snapshot has, and `busy` whether it has requests in flight. Returns whether the store knows
        the worker (if not, it must register its connections), the pool's version, which is 0 for one that
        is damaged, and the workers not heard of for `silence_seconds`: they are dead, and anyone may `reap`
        them.
        """
        known, newest, uncertain, *dead = self._session.run(
            "heartbeat",
            worker,
            version,
            silence_seconds,
            *_moments(degraded),
            int(answered),
            "" if members is None else members,
            int(busy),
            **self._own(worker),
        )
        if uncertain:
            self.recount()
        return bool(known), newest, [WorkerId(worker) for worker in dead]

    def recount(self) -> int:
        """Make the sums of connections those of all workers' own again; return how many were wrong."""
        workers = self._session.read("zrange", self._keys.workers, 0, -1) or []
        counts = [self._keys.worker_connections(worker) for worker in workers]
        return self._session.run("recount", *workers, further_keys=counts) or 0

    def reap(self, worker: WorkerId, by: str, silence_seconds: float, kind: str = "worker-lost") -> int:
        """Take back the connections of a worker that was silent for so long; return how many it held.

        -1 if it was heard of in time, or if somebody else has reaped it. `kind` is the kind of the event.
        """
        taken: int = self._session.run("reap", worker, by, silence_seconds, kind, **self._own(worker))
        return taken

    def leave(self, worker: WorkerId) -> int:
        """Sign off a worker that stops in an orderly way; return how many connections it still held."""
        return self.reap(worker, by=worker, silence_seconds=0, kind="worker-left")

    def store_back(self, worker: WorkerId, seconds: float) -> None:
        """Record in the events that a worker was degraded for so long."""
        self._session.run("store_back", worker, f"{seconds:.1f}")

    def workers(self) -> list[WorkerStatus]:
        """Read all workers, the one with the oldest heartbeat first."""
        heartbeats = self._session.read("zrange", self._keys.workers, 0, -1, withscores=True) or []
        hashes = self._session.hashes(
            [
                key
                for worker, _ in heartbeats
                for key in (self._keys.worker(worker), self._keys.worker_connections(worker))
            ]
        )
        rows = zip(heartbeats, hashes[::2], hashes[1::2], strict=True)
        return [
            views.worker_of(worker, heartbeat, about, list(held.values()))
            for (worker, heartbeat), about, held in rows
            if about  # else it was reaped between the two reads
        ]

    def _own(self, worker: WorkerId) -> dict[str, str]:
        return {
            "worker": self._keys.worker(worker),
            "worker_connections": self._keys.worker_connections(worker),
        }


def _moments(moments: Degraded) -> list[str]:
    return ["" if moment is None else f"{moment:.3f}" for moment in moments]
