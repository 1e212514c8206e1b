"""Servers that were removed long ago: what they did stays in the sums, without series of its own."""

from __future__ import annotations

from collections.abc import Collection

from lb.metrics.totals import HOST_MARK, OTHER, OWN, REMOVED, Totals, add
from lb.store.pool import BackendPool

#: So long after its removal a server has series of its own.
SHOWN_SECONDS = 86400.0
_MOST_EVENTS = 1000


def long_gone(pool: BackendPool, rows: Collection[str], members: Collection[str], now: float) -> set[str]:
    """Return those rows whose server left the pool so long ago; `now` is the store's clock."""
    absent = {row for row in rows if row not in (OWN, OTHER) and not row.startswith(HOST_MARK)} - {*members}
    if not absent or not members:  # a pool without any may just be on its way back
        return set()
    earliest = now - SHOWN_SECONDS
    recorded = {record.id: record.at for record in pool.removed() if record.id in absent}
    lately: set[str] = {name for name, at in recorded.items() if at > earliest}
    if absent - recorded.keys():  # one that the config no longer names leaves no record
        events = pool.events(_MOST_EVENTS, after=f"{int(earliest * 1000)}-0")
        lately |= {event.server for event in events if event.kind == "removed"} - recorded.keys()
    return absent - lately


def without(totals: Totals, gone: Collection[str]) -> Totals:
    """Return the totals with these rows added up in one."""
    kept = {row: counts for row, counts in totals.items() if row not in gone}
    for row in gone:
        if row in totals:
            add(kept, {REMOVED: totals[row]})
    return kept
