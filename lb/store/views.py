"""Turns the store's replies into the values of `lb.model`. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from lb.errors import StoreError
from lb.model import (
    Admin,
    Check,
    Event,
    Health,
    RemovedServer,
    Server,
    ServerId,
    ServerStatus,
    Snapshot,
    Source,
    WorkerId,
    WorkerStatus,
)
from lb.strategies import DEFAULT

#: What `read.lua` returns: version, strategy, server ids, and one flat `field, value, …` list for each hash.
Pool: TypeAlias = tuple[int, str, list[str], list[list[str]]]
_Column: TypeAlias = dict[str, str]

#: So many of these hashes say what a member is; the others hold its live figures.
_MEMBER_COLUMNS = 7

_PASSED, _FAILED = "passed", "failed"


def server_of(row: Sequence[str]) -> Server:
    """Read a server as `server.lua` describes it; StoreError if somebody else has written its values."""
    server, url, weight, admin, health, source, reason, since = row
    try:
        return Server(
            id=ServerId(server),
            url=url,
            weight=int(weight),
            admin=Admin(admin),
            health=Health(health),
            source=Source(source),
            reason=reason,
            since=float(since),
        )
    except ValueError as error:
        raise StoreError(
            f"the store holds a value of the server {server} that lb has not written ({error}): "
            "remove this server and add it again"
        ) from None


def snapshot_of(pool: Pool) -> Snapshot:
    """Read the members from the whole pool."""
    version, strategy, ids, columns = pool
    members = [_column(flat) for flat in columns[:_MEMBER_COLUMNS]]
    chosen = strategy or (DEFAULT.name if version else "")
    return Snapshot(version, chosen, tuple(_member(server, members) for server in ids))


def statuses_of(pool: Pool) -> list[ServerStatus]:
    """Read the members and their live figures from the whole pool."""
    _, _, ids, flat_columns = pool
    columns = [_column(flat) for flat in flat_columns]
    return [_status(server, columns) for server in ids]


def outcome(check: Check) -> str:
    """Write a check's outcome as `check_results` keeps it, such as "passed 200 OK"."""
    return f"{_PASSED if check.passed else _FAILED} {check.detail}"


def removed_of(server: str, at: float, record: Mapping[str, str]) -> RemovedServer:
    """Read a `removed_server` hash."""
    return RemovedServer(
        id=ServerId(server),
        url=record["url"],
        weight=int(record["weight"]),
        source=Source(record["source"]),
        reason=record["reason"],
        at=at,
    )


def event_of(entry: tuple[str, Mapping[str, str]]) -> Event:
    """Read an entry of the stream of events."""
    stream_id, fields = entry
    milliseconds, _, _ = stream_id.partition("-")
    return Event(
        id=stream_id,
        at=int(milliseconds) / 1000,
        kind=fields["kind"],
        server=fields["server"],
        by=fields["by"],
        detail=fields["detail"],
    )


def worker_of(worker: str, heartbeat: float, about: Mapping[str, str], held: Sequence[str]) -> WorkerStatus:
    """Read a worker from its hash and its connection counts."""
    return WorkerStatus(
        id=WorkerId(worker),
        host=about["host"],
        pid=int(about["pid"]),
        started=float(about["started"]),
        heartbeat=heartbeat,
        version=int(about.get("version", 0)),
        connections=sum(map(int, held)),
        degraded_since=_moment(about.get("degraded_since")),
        degraded_until=_moment(about.get("degraded_until")),
    )


def _moment(text: str | None) -> float | None:
    return float(text) if text else None


def _column(flat: list[str]) -> _Column:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _member(server: str, columns: list[_Column]) -> Server:
    return server_of([server, *(column.get(server, "") for column in columns[:_MEMBER_COLUMNS])])


def _status(server: str, columns: list[_Column]) -> ServerStatus:
    connections, failures, result, checked_at, milliseconds, unanswered_since = (
        column.get(server) for column in columns[_MEMBER_COLUMNS:]
    )
    check = None
    if result is not None:
        verdict, _, detail = result.partition(" ")
        check = Check(
            passed=verdict == _PASSED,
            answered=unanswered_since is None,
            detail=detail,
            duration_seconds=float(milliseconds or 0) / 1000,
        )
    return ServerStatus(
        server=_member(server, columns),
        connections=int(connections or 0),
        failures=int(failures or 0),
        last_check=check,
        last_check_at=_moment(checked_at),
        unanswered_since=_moment(unanswered_since),
    )
