"""The whole balancer at a glance: what both `GET /status` and `lb-admin status` show."""

from __future__ import annotations

from dataclasses import dataclass

from lb.model import ServerStatus, WorkerStatus
from lb.store.fleet import Fleet
from lb.store.pool import BackendPool


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of pool and fleet together."""

    strategy: str
    version: int
    servers: tuple[ServerStatus, ...]
    workers: tuple[WorkerStatus, ...]
    health_checker: str | None  # id of the leading one; None while none leads
    fails_open: bool  # whether servers are picked although they are down, as no ready one is up
    at: float  # unix seconds by the store's clock, as all times in it are

    @property
    def eligible(self) -> int:
        """How many servers may be picked."""
        return sum(status.server.eligible for status in self.servers)

    @property
    def connections(self) -> int:
        """Requests in flight to servers of the pool, summed over all workers."""
        return sum(status.connections for status in self.servers)


def look(pool: BackendPool, fleet: Fleet) -> Overview:
    """Read the balancer's state; StoreUnavailableError if the store cannot serve now."""
    snapshot, statuses = pool.look()
    return Overview(
        strategy=snapshot.strategy,
        version=snapshot.version,
        servers=tuple(statuses),
        workers=tuple(fleet.workers()),
        health_checker=pool.leader(),
        fails_open=snapshot.fails_open,
        at=pool.now(),
    )
