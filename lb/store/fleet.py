"""Fleet: the worker processes of all hosts, as their heartbeats tell of them."""

from __future__ import annotations

from typing import TypeAlias

import redis

from lb.model import WorkerId, WorkerStatus
from lb.store import views
from lb.store.keys import Keys
from lb.store.session import Session

#: Unix seconds from and until when a worker was degraded: no first if it never was, no second if it still is.
Degraded: TypeAlias = tuple[float | None, float | None]


class Fleet:
    """Who is at work, and what those held who no longer are. Raises StoreUnavailableError and StoreError."""

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)
        self._keys = keys

    def heartbeat(
        self,
        worker: WorkerId,
        version: int,
        silence_seconds: float,
        degraded: Degraded = (None, None),
        *,
        answered: bool = False,
    ) -> tuple[bool, int, list[WorkerId]]:
        """Say that a worker lives, at which pool version; learn if it is known, the pool's version, the dead.

        A worker that is not known holds no connections in the store's eyes: it must register. Dead are those
        not heard of for `silence_seconds`; anyone may `reap` them. `degraded`: from and until when
        it last was; `answered`: whether servers answered requests since the last heartbeat.
        """
        known, newest, *dead = self._session.run(
            "heartbeat",
            worker,
            version,
            silence_seconds,
            *_moments(degraded),
            int(answered),
            **self._own(worker),
        )
        return bool(known), newest, [WorkerId(worker) for worker in dead]

    def reap(self, worker: WorkerId, by: str, silence_seconds: float, kind: str = "worker-lost") -> int:
        """Take back all connections of a worker that was silent for so long; returns how many it held.

        -1 if it was heard of in time, or another reaped it first. `kind` is that of the event.
        """
        taken: int = self._session.run("reap", worker, by, silence_seconds, kind, **self._own(worker))
        return taken

    def leave(self, worker: WorkerId) -> int:
        """Take a worker out that stops in good order; returns how many connections it still held."""
        return self.reap(worker, by=worker, silence_seconds=0, kind="worker-left")

    def store_back(self, worker: WorkerId, seconds: float) -> None:
        """Write into the events that a worker was degraded for so long."""
        self._session.run("store_back", worker, f"{seconds:.1f}")

    def workers(self) -> list[WorkerStatus]:
        """Read all workers, the one not heard of for longest first."""
        with self._session.edge() as connection:
            heartbeats = connection.zrange(self._keys.workers, 0, -1, withscores=True)
            pipeline = connection.pipeline(transaction=False)
            for worker, _ in heartbeats:
                pipeline.hgetall(self._keys.worker(worker))
                pipeline.hvals(self._keys.worker_connections(worker))
            replies = pipeline.execute()
        rows = zip(heartbeats, replies[::2], replies[1::2], strict=True)
        return [
            views.worker_of(worker, heartbeat, about, held)
            for (worker, heartbeat), about, held in rows
            if about  # not reaped between the two reads
        ]

    def _own(self, worker: WorkerId) -> dict[str, str]:
        return {
            "worker": self._keys.worker(worker),
            "worker_connections": self._keys.worker_connections(worker),
        }


def _moments(moments: Degraded) -> list[str]:
    return ["" if moment is None else f"{moment:.3f}" for moment in moments]
