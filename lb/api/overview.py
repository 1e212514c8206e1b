"""The whole balancer at a glance: what `GET /status` and `lb-admin status` both show."""

from __future__ import annotations

from dataclasses import dataclass

from lb.model import ServerStatus, WorkerStatus
from lb.store.fleet import Fleet
from lb.store.pool import BackendPool


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at pool and fleet together."""

    strategy: str
    version: int
    servers: tuple[ServerStatus, ...]
    workers: tuple[WorkerStatus, ...]
    health_checker: str | None  # id of the leading one; None while nobody checks

    @property
    def eligible(self) -> int:
        """How many servers may be picked."""
        return sum(status.server.eligible for status in self.servers)

    @property
    def connections(self) -> int:
        """Requests in flight to servers of the pool, all workers together."""
        return sum(status.connections for status in self.servers)


def look(pool: BackendPool, fleet: Fleet) -> Overview:
    """Read the balancer's state; StoreUnavailableError if the store does not answer."""
    snapshot, statuses = pool.look()
    return Overview(
        strategy=snapshot.strategy,
        version=snapshot.version,
        servers=tuple(statuses),
        workers=tuple(fleet.workers()),
        health_checker=pool.leader(),
    )
