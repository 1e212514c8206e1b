"""What a lease is, and what a worker learns from the line that its leases come through."""

from __future__ import annotations

import enum
from typing import Protocol

from lb.model import ServerId


class Lease:
    """One request's claim on one server: counted from `LeaseLine.lease` to `release`, exactly once."""

    __slots__ = ("failed", "server", "succeeded")

    def __init__(self, server: ServerId) -> None:
        self.server = server
        self.succeeded = False  # the server answered properly
        self.failed = False  # the server failed; neither is set when the client left


class Phase(enum.Enum):
    """What the line does at this moment."""

    IDLE = enum.auto()  # connected, nothing to send
    SCHEDULED = enum.auto()  # a flush comes at the end of the loop's turn
    IN_FLIGHT = enum.auto()  # a reply is awaited
    AWAY = enum.auto()  # no connection; being recovered


class LeaseEvents(Protocol):
    """What the line tells its worker; called in the hub, so nothing here may wait."""

    def pool_changed(self, version: int) -> None:
        """Tell that the store's pool is at `version`."""

    def server_failed(self, server: ServerId, failures: int) -> None:
        """Tell that a server has this many consecutive failures, fleet-wide."""

    def granted(self, picks: int, since: float) -> None:
        """Tell that the store has answered a batch of so many picks, sent at `since` (monotonic seconds)."""

    def store_lost(self, reason: str) -> None:
        """Tell that picks are local from now on."""

    def store_back(self) -> None:
        """Tell that picks are shared again."""

    def store_empty(self) -> None:
        """Tell that the store answers but holds no pool."""
