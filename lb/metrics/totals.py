"""Totals: what was counted, by name: of one slot, of a host, of the fleet.

A row is a server's id, `-` for the balancer's own answers, `other`, or `@host` for what belongs to no server.
Its cells are `2xx/0.005` (requests of that status class that took up to 5 ms, more than the bound before),
`seconds`, `retries` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import compress
from typing import TypeAlias

from lb.metrics import layout
from lb.metrics.scoreboard import Scoreboard, names_of

Counts: TypeAlias = dict[str, float]  # cell → number; integers are int
Totals: TypeAlias = dict[str, Counts]  # row → its counts

_NUMBER = re.compile(r"\d{1,20}|-?\d{1,20}(?:\.\d+)?(?:e(?:-\d{1,3}|\+?\d{1,2}))?", re.ASCII)

OWN, OTHER, HOST_MARK = "-", "other", "@"
#: In place of the servers that were removed long ago, where totals are shown.
REMOVED = "removed"


def bounds_of(bounds: Iterable[float]) -> list[str]:
    """Name the buckets of a histogram by their upper bounds, as Prometheus does."""
    return [*(f"{bound:g}" for bound in bounds), "+Inf"]


def _named(cells: Mapping[int, str]) -> list[str]:
    return [cells.get(cell, "") for cell in range(layout.ROW_CELLS)]


_SERVER_CELLS = _named(
    {layout.RETRIES: "retries", layout.CUT: "cut", layout.GONE: "gone", layout.EJECTIONS: "ejections"}
    | {
        status * layout.BUCKETS + bucket: f"{status}xx/{bound}"
        for status in range(1, layout.CLASSES)
        for bucket, bound in enumerate(bounds_of(layout.LATENCY_BOUNDS))
    }
)
_WORKER_CELLS = _named(
    {layout.PICKS: "picks", layout.CLOSED_IDLE: "closed_idle", layout.REFUSED: "refused"}
    | {layout.TRIPS + bucket: f"trips/{bound}" for bucket, bound in enumerate(bounds_of(layout.TRIP_BOUNDS))}
    | {
        layout.BATCHES + bucket: f"batches/{bound}"
        for bucket, bound in enumerate(bounds_of(layout.BATCH_BOUNDS))
    }
)


def totals_of(board: Scoreboard) -> Totals:
    """Add up what all slots of a scoreboard have counted, those whose worker is dead too."""
    totals: Totals = {}
    for slot in board.granted:
        _add_slot(totals, board, slot)
    return totals


def gauges_of(board: Scoreboard) -> Counts:
    """Return what is true of a host's workers now: `workers`, `degraded`, `clients`, `max_clients`."""
    heads = [board.head(slot) for slot in board.live]
    return {
        "workers": len(heads),
        "degraded": sum(head[layout.DEGRADED] for head in heads),
        "clients": sum(head[layout.CLIENTS] for head in heads),
        "max_clients": sum(head[layout.MAX_CLIENTS] for head in heads),
    }


def add(totals: Totals, more: Mapping[str, Mapping[str, float]], sign: int = 1) -> None:
    """Add other totals to these, or take them off with `sign` -1."""
    for row, counts in more.items():
        sums = totals.setdefault(row, {})
        for cell, count in counts.items():
            sums[cell] = sums.get(cell, 0) + sign * count


def text_of(counts: Mapping[str, float]) -> str:
    """Write counts down.

    >>> text_of({"2xx/0.005": 17, "seconds": 0.25})
    '2xx/0.005=17 seconds=0.25'
    """
    return " ".join(f"{cell}={count!r}" for cell, count in counts.items())


def counts_of(text: str) -> Counts:
    """Read what `text_of` wrote.

    >>> counts_of("2xx/0.005=17 seconds=0.25")
    {'2xx/0.005': 17, 'seconds': 0.25}
    """
    counts: Counts = {}
    for word in text.split():
        cell, _, number = word.rpartition("=")
        if cell.isprintable() and _NUMBER.fullmatch(number):  # nothing else was written by us
            counts[cell] = int(number) if number.isdecimal() else float(number)
    return counts


def _add_slot(totals: Totals, board: Scoreboard, slot: int) -> None:
    region, head = board.region(slot), board.head(slot)
    cells, sums = region[layout.NAMES_BYTES :].cast("Q"), region[layout.NAMES_BYTES :].cast("d")
    about = {"accepted": head[layout.ACCEPTED], **_counts(cells, layout.WORKER_ROW, _WORKER_CELLS)}
    about["degraded_seconds"] = sums[layout.DEGRADED_SECONDS]
    about["trip_seconds"] = sums[layout.TRIP_SECONDS]
    rows: Totals = {HOST_MARK + board.host: _present(about)}
    named = {layout.OWN_ROW: OWN, layout.OTHER_ROW: OTHER, **names_of(region, head)}
    for row, name in named.items():
        counts = _counts(cells, row, _SERVER_CELLS)
        counts["seconds"] = sums[row * layout.ROW_CELLS + layout.SECONDS]
        rows[name] = _present(counts)
    add(totals, {name: counts for name, counts in rows.items() if counts})


def _counts(cells: memoryview, row: int, names: list[str]) -> Counts:
    start = row * layout.ROW_CELLS
    values = cells[start : start + layout.ROW_CELLS].tolist()
    counts: Counts = dict(zip(compress(names, values), filter(None, values), strict=True))
    counts.pop("", None)  # cells that hold floats
    return counts


def _present(counts: Counts) -> Counts:
    return {cell: count for cell, count in counts.items() if count}
