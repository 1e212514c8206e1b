"""What the records of clients and servers must show. PURE but for the clocks that wrote them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from lb.model import ServerId
from lb.strategies.base import weighted_cycle
from tests.chaos.acts import Acts
from tests.chaos.subject import Subject
from tests.chaos.traffic import Record

#: So long before an outage every worker has read what an operator did.
_SEEN_SECONDS = 2.0
#: The workers of a host that is up again may take so long until they accept.
_START_SECONDS = 3.0


def errors(records: Sequence[Record], acts: Acts) -> Iterator[str]:
    """Every request is answered with 200, but for those to a worker or host that was killed."""
    for record in records:
        if record.status != 200 and not _excused(record, acts):
            yield f"a client saw {record}"


def _excused(record: Record, acts: Acts) -> bool:
    if record.status:
        return False
    lost = acts.lost_clients.get((record.host, record.port))
    on_killed_worker = lost is not None and record.opened <= lost <= record.done
    return on_killed_worker or acts.subject.hosts[record.host].was_down(record.opened, record.done)


def waits(records: Sequence[Record], acts: Acts) -> Iterator[float]:
    """How long the answers took, in seconds, of workers that neither stood still nor began just then."""
    frozen = acts.lost_clients.keys() | acts.stalled_clients
    for record in records:
        host = acts.subject.hosts[record.host]
        stood_still = (record.host, record.port) in frozen
        if record.status and not stood_still and not host.was_down(record.sent - _START_SECONDS, record.done):
            yield record.done - record.sent


def misattributed(records: Sequence[Record], subject: Subject) -> Iterator[str]:
    """What the client was told of its server is what that server's log says."""
    logs = {server.id: {target for _, target in server.log} for server in subject.servers.values()}
    for record in records:
        if record.status == 200 and record.target not in logs.get(ServerId(record.server), set()):
            yield f"{record.server} has no log of {record}"


def banned_picks(records: Sequence[Record], acts: Acts) -> Iterator[str]:
    """No request that was sent after a server was drained or removed gets there, from any worker."""
    sent = {record.target: record for record in records}
    for ban in acts.bans:
        for at, target in acts.subject.servers[ban.server].log:
            record = sent.get(target)
            if record is None or record.sent <= ban.begin or (ban.end is not None and at >= ban.end):
                continue
            if not _knew_no_better(record, ban.begin, acts):
                since = record.sent - ban.begin
                yield f"{ban.server} got {target}, sent {since:.2f} s after it was drained or removed"


def _knew_no_better(record: Record, banned: float, acts: Acts) -> bool:
    """Whether a worker had to pick without the store, and could not have read of it before."""
    outage = acts.subject.outage_at(record.sent, record.done)
    if outage is None:
        return False
    fresh = any(outage - _SEEN_SECONDS <= began <= record.done for began in acts.fresh_workers)
    return fresh or outage < banned + _SEEN_SECONDS


def inexact(burst: Sequence[Record], acts: Acts) -> Iterator[str]:
    """In a quiet window each server gets its exact share of the picks."""
    cycle = cycle_of(acts)
    expected = {server: turns * len(burst) // len(cycle) for server, turns in Counter(cycle).items()}
    found = Counter(ServerId(record.server) for record in burst)
    if found != expected:
        yield f"round-robin gave {dict(found)}, not {expected}"


def cycle_of(acts: Acts) -> list[ServerId]:
    """Return the turns of one cycle when every server is up."""
    return weighted_cycle({one: wish.weight for one, wish in acts.wishes.items() if wish.admin == "ready"})


def pool_differs(acts: Acts) -> Iterator[str]:
    """The pool is what operators made it."""
    wanted = {server: (wish.admin, wish.weight) for server, wish in acts.wishes.items()}
    snapshot = acts.subject.pool.snapshot()
    found = {server.id: (server.admin, server.weight) for server in snapshot.servers}
    if found != wanted or snapshot.strategy != acts.strategy:
        yield f"the pool is {found} {snapshot.strategy}, operators made it {wanted} {acts.strategy}"
