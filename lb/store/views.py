"""Turns the store's replies into the values of `lb.model`. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from lb.errors import StoreError
from lb.model import (
    MAX_WEIGHT,
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
from lb.store.values import column, is_id, moment, printable, whole, word
from lb.strategies import DEFAULT

#: What `read.lua` returns: version, strategy, whether it fails open, what is damaged, server ids, and one
#: flat `field, value, …` list for each hash.
Pool: TypeAlias = tuple[int, str, str, str, list[str], list[list[str]]]
_Column: TypeAlias = dict[str, str]

#: So many of these hashes say what a member is; the others hold its live figures.
_MEMBER_COLUMNS = 7

_PASSED, _FAILED = "passed", "failed"
_ON, _OFF = "on", "off"


def server_of(row: Sequence[str]) -> Server:
    """Read a server as `server.lua` describes it; StoreError if somebody else has written its values."""
    server = _server(row)
    if server is None:
        raise StoreError(f"the store holds a value of the server {printable(row[0])} that lb has not written")
    return server


def _server(row: Sequence[str]) -> Server | None:
    """Read a server; None if one of its values is missing, or is none that lb writes."""
    server, url, weight, admin, health, source, reason, since = row
    at = moment(since)
    if (
        at is None
        or not is_id(server)
        or not url
        or not url.isprintable()
        or not 1 <= whole(weight) <= MAX_WEIGHT
        or admin not in set(Admin)
        or health not in set(Health)
        or source not in set(Source)
    ):
        return None
    return Server(
        id=ServerId(server),
        url=url,
        weight=whole(weight),
        admin=Admin(admin),
        health=Health(health),
        source=Source(source),
        reason=printable(reason),
        since=at,
    )


def snapshot_of(pool: Pool) -> Snapshot:
    """Read the members from the whole pool, those whose values are whole."""
    version, strategy, fail_open, damage, ids, columns = pool
    members = [column(flat) for flat in columns[:_MEMBER_COLUMNS]]
    chosen = printable(strategy) or (DEFAULT.name if version else "")
    found = (_member(server, members) for server in ids)
    members_found = tuple(filter(None, found))
    return Snapshot(version, chosen, members_found, printable(damage), fail_open != _OFF)


def statuses_of(pool: Pool) -> list[ServerStatus]:
    """Read the members and their live figures from the whole pool."""
    *_, ids, flat_columns = pool
    columns = [column(flat) for flat in flat_columns]
    return [_status(server, columns) for id_ in ids if (server := _member(id_, columns))]


def switch(on: bool) -> str:  # noqa: FBT001
    """Write a switch as the store keeps it."""
    return _ON if on else _OFF


def outcome(check: Check) -> str:
    """Write a check's outcome as `check_results` keeps it, such as "passed 200 OK"."""
    return f"{_PASSED if check.passed else _FAILED} {check.detail}"


def removed_of(server: str, at: float, record: Mapping[str, str], *, returns: bool) -> RemovedServer | None:
    """Read a `removed_server` hash; None if it is not there, or is of no server."""
    url = record.get("url", "")
    if not url or not url.isprintable() or not is_id(server) or moment(at) is None:
        return None
    weight = whole(record.get("weight"), 1)
    return RemovedServer(
        id=ServerId(server),
        url=url,
        weight=weight if 1 <= weight <= MAX_WEIGHT else 1,
        source=word(Source, record.get("source", ""), Source.ADMIN),
        reason=printable(record.get("reason", "")),
        at=at,
        returns=returns,
    )


def event_of(entry: tuple[str, Mapping[str, str]]) -> Event:
    """Read an entry of the stream of events."""
    stream_id, fields = entry
    milliseconds, _, _ = stream_id.partition("-")
    return Event(
        id=stream_id,
        at=_time_of(milliseconds),
        kind=printable(fields.get("kind", "")),
        server=printable(fields.get("server", "")),
        by=printable(fields.get("by", "")),
        detail=printable(fields.get("detail", "")),
    )


def worker_of(worker: str, heartbeat: float, about: Mapping[str, str], held: Sequence[str]) -> WorkerStatus:
    """Read a worker from its hash and its connection counts."""
    return WorkerStatus(
        id=WorkerId(printable(worker)),
        host=printable(about.get("host", "")),
        pid=whole(about.get("pid")),
        started=moment(about.get("started")) or 0.0,
        heartbeat=moment(heartbeat) or 0.0,
        version=whole(about.get("version")),
        connections=sum(map(whole, held)),
        degraded_since=moment(about.get("degraded_since")),
        degraded_until=moment(about.get("degraded_until")),
    )


def _time_of(milliseconds: str) -> float:
    # An id may have twenty digits, which no date has.
    return whole(milliseconds) / 1000


def _member(server: str, columns: list[_Column]) -> Server | None:
    return _server([server, *(values.get(server, "") for values in columns[:_MEMBER_COLUMNS])])


def _status(server: Server, columns: list[_Column]) -> ServerStatus:
    connections, failures, result, checked_at, milliseconds, unanswered_since = (
        values.get(server.id) for values in columns[_MEMBER_COLUMNS:]
    )
    check = None
    if result is not None:
        verdict, _, detail = result.partition(" ")
        check = Check(
            passed=verdict == _PASSED,
            answered=unanswered_since is None,
            detail=printable(detail),
            duration_seconds=(moment(milliseconds) or 0.0) / 1000,
        )
    return ServerStatus(
        server=server,
        connections=whole(connections),
        failures=whole(failures),
        last_check=check,
        last_check_at=moment(checked_at),
        unanswered_since=moment(unanswered_since),
    )
