"""What a lease is, and what a lease line tells its worker."""

from __future__ import annotations

import enum
from typing import Protocol

from lb.model import ServerId


class Lease:
    """One request's claim on one server, counted exactly once between `LeaseLine.lease` and `release`."""

    __slots__ = ("failed", "picked", "server", "succeeded")

    def __init__(self, server: ServerId, picked: float) -> None:
        self.server = server
        self.picked = picked  # when, in monotonic seconds
        self.succeeded = False  # the server answered properly
        self.failed = False  # it failed; neither is set if the client left first, or for a status of retryOn


class Phase(enum.Enum):
    """What the line is doing."""

    IDLE = enum.auto()  # connected, nothing to send
    SCHEDULED = enum.auto()  # a batch will be sent at the end of the event loop's turn
    IN_FLIGHT = enum.auto()  # waiting for a reply
    AWAY = enum.auto()  # not connected; reconnecting


class LeaseEvents(Protocol):
    """What the line tells its worker. Called in the hub, so implementations must not wait."""

    def pool_changed(self, version: int) -> None:
        """Tell that the pool in the store is at `version`."""

    def server_failed(self, server: ServerId, failures: int) -> None:
        """Tell that a server has this many consecutive failures, counted over the whole fleet."""

    def granted(self, picks: int, seconds: float) -> None:
        """Tell that the store has answered a batch of so many picks, `seconds` after it was sent."""

    def store_lost(self, reason: str) -> None:
        """Tell that picks are local from now on."""

    def store_back(self) -> None:
        """Tell that picks are shared again."""

    def store_empty(self) -> None:
        """Tell that the store answers but holds no pool, or a damaged one."""
