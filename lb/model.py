"""The values that all parts exchange: servers, their two states, and what the store reports about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

#: A server's stable identity: its normalised `host:port`, or `unix:/path`. Never a position in a list.
ServerId = NewType("ServerId", str)

#: A worker process's identity in the fleet: `host-pid-random`.
WorkerId = NewType("WorkerId", str)

#: The largest weight of a server; the smallest is 1.
MAX_WEIGHT = 256


class Admin(StrEnum):
    """What the operator wants of a server."""

    READY = "ready"
    DRAIN = "drain"  # no new requests, open ones finish
    MAINT = "maint"  # drain, and not health-checked


class Health(StrEnum):
    """What is observed of a server. One that has not been checked yet counts as up."""

    UP = "up"
    DOWN = "down"


class Source(StrEnum):
    """Who added a server to the pool. Reconciling with the config touches only the config's own servers."""

    CONFIG = "config"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server as an operator or the config describes it."""

    id: ServerId
    url: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Server:
    """A member of the pool, as the store holds it."""

    id: ServerId
    url: str
    weight: int
    admin: Admin
    health: Health
    source: Source
    reason: str  # why it is down, empty while up
    since: float  # unix seconds of the last change of admin or health

    @property
    def eligible(self) -> bool:
        """Whether it may be picked."""
        return self.admin is Admin.READY and self.health is Health.UP


def may_be_picked(servers: Iterable[Server], *, fail_open: bool) -> list[Server]:
    """Return the eligible servers; if there are none and the pool may fail open, all that are ready.

    The twin of `eligible.lua`.
    """
    ready = [server for server in servers if server.admin is Admin.READY]
    eligible = [server for server in ready if server.eligible]
    return eligible or (ready if fail_open else [])


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one health check. Any HTTP response is an answer, but only an expected one passes."""

    passed: bool
    answered: bool
    detail: str  # "200 OK", "connection refused", …
    duration_seconds: float


def address_name(host: str, port: int) -> str:
    """Write an address that a server's name leads to, for those that check and those that connect."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A member of the pool with its live figures, for operators."""

    server: Server
    connections: int  # requests in flight, all workers together
    failures: int  # consecutive failures on real traffic, all workers together
    last_check: Check | None
    last_check_at: float | None  # unix seconds
    unanswered_since: (
        float | None
    )  # unix seconds of the first check without an answer; None if the last had one


@dataclass(frozen=True, slots=True)
class RemovedServer:
    """A server that left the pool and can be restored."""

    id: ServerId
    url: str
    weight: int
    source: Source
    reason: str  # empty if an operator did it
    at: float  # unix seconds
    returns: bool = False  # whether it is still checked, and comes back by itself


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pool at one version. Each worker keeps one, from which it picks while degraded."""

    version: int
    strategy: str
    servers: tuple[Server, ...]  # in pool order
    damage: str = ""  # the first thing that was found missing or odd; empty if the pool was whole
    fail_open: bool = True  # whether all ready servers may be picked while none of them is up

    def is_down(self, server: ServerId) -> bool:
        """Whether a server is among them and down."""
        return any(one.id == server and one.health is Health.DOWN for one in self.servers)

    @property
    def fails_open(self) -> bool:
        """Whether servers are picked although they are down."""
        return any(not server.eligible for server in may_be_picked(self.servers, fail_open=self.fail_open))


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker process as its last heartbeat describes it."""

    id: WorkerId
    host: str
    pid: int
    started: float  # unix seconds
    heartbeat: float  # unix seconds of the last one
    version: int  # the pool version of its snapshot
    connections: int  # requests in flight
    degraded_since: float | None = None  # unix seconds when it last became degraded; None: never
    degraded_until: float | None = None  # unix seconds when that ended; None while it lasts


#: The kinds of events, as `lb/docs/redis.md` lists them.
EVENT_KINDS = (
    "added",
    "removed",
    "restored",
    "returned",
    "url",
    "ready",
    "drain",
    "maint",
    "weight",
    "strategy",
    "up",
    "down",
    "removal-refused",
    "fail-open",
    "fail-open-ended",
    "addresses",
    "worker-joined",
    "worker-left",
    "worker-lost",
    "store-back",
    "refilled",
    "repaired",
)

#: The events that a webhook gets, unless its settings name others.
TOLD_EVENTS = (
    "up",
    "down",
    "removed",
    "restored",
    "returned",
    "removal-refused",
    "fail-open",
    "fail-open-ended",
    "worker-lost",
    "store-back",
)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the event stream."""

    id: str  # its id in the stream, which begins with unix milliseconds
    at: float  # unix seconds
    kind: str  # one of EVENT_KINDS, or one that another version of lb wrote
    server: str  # empty if the event concerns the whole pool
    by: str  # who did it: "lb-admin", "health-checker", a worker id, …
    detail: str
