"""Rates: how much, how fast and how well, over the last seconds, out of totals that only grow. PURE."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from lb.metrics import layout
from lb.metrics.totals import HOST_MARK, OTHER, OWN, Counts, Totals, add, bounds_of

#: Rates are over about so many seconds.
WINDOW_SECONDS = 10.0
#: Totals that follow each other faster are not all kept, and over less time there are no rates.
_APART_SECONDS = 0.5

_BUCKETS = bounds_of(layout.LATENCY_BOUNDS)
_EDGES = (0.0, *layout.LATENCY_BOUNDS, layout.LATENCY_BOUNDS[-1])  # what is above the last bound is not told


@dataclass(frozen=True, slots=True)
class Rate:
    """What came to pass in the window."""

    requests_per_second: float
    p50_seconds: float | None  # None where there was no request
    p99_seconds: float | None
    error_ratio: float | None  # of responses that were 5xx, or were cut


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of one window."""

    window_seconds: float
    total: Rate
    servers: Mapping[str, Rate] = field(default_factory=dict)


class Window:
    """Totals of the last seconds. Times are of one clock that does not jump."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Totals]] = deque()

    def see(self, at: float, totals: Totals) -> None:
        """Take note of the totals at a time."""
        if len(self._seen) > 1 and at - self._seen[-2][0] < _APART_SECONDS:
            self._seen.pop()
        self._seen.append((at, totals))
        while len(self._seen) > 1 and at - self._seen[1][0] >= WINDOW_SECONDS:
            self._seen.popleft()

    def rates(self) -> Rates:
        """Return the rates between the first and the last totals of the window."""
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < _APART_SECONDS:
            return Rates(0.0, _rate({}, 0.0))
        (began, before), (ended, totals) = self._seen[0], self._seen[-1]
        seconds = ended - began
        grown = _growth(totals, before)
        everything: Totals = {}
        for counts in grown.values():
            add(everything, {"": counts})
        return Rates(
            seconds,
            _rate(everything.get("", {}), seconds),
            {row: _rate(counts, seconds) for row, counts in grown.items() if row not in (OWN, OTHER)},
        )


def _growth(totals: Totals, before: Totals) -> Totals:
    """Return what was added to servers' rows; a store that lost its figures took nothing back."""
    grown: Totals = {}
    for row, counts in totals.items():
        if not row.startswith(HOST_MARK):
            then = before.get(row, {})
            grown[row] = {cell: max(0, count - then.get(cell, 0)) for cell, count in counts.items()}
    return grown


def _rate(counts: Counts, seconds: float) -> Rate:
    buckets = [_responses(counts, bound) for bound in _BUCKETS]
    complete = sum(buckets)
    all_of_them = complete + counts.get("cut", 0)
    failed = sum(counts.get(f"5xx/{bound}", 0) for bound in _BUCKETS) + counts.get("cut", 0)
    return Rate(
        requests_per_second=all_of_them / seconds if seconds else 0.0,
        p50_seconds=_quantile(0.5, buckets) if complete else None,
        p99_seconds=_quantile(0.99, buckets) if complete else None,
        error_ratio=failed / all_of_them if all_of_them else None,
    )


def _responses(counts: Counts, bound: str) -> float:
    return sum(counts.get(f"{status}xx/{bound}", 0) for status in range(1, layout.CLASSES))


def _quantile(share: float, buckets: list[float]) -> float:
    """Return the seconds that this share of responses took at most, as if even within each bucket."""
    up_to = [*accumulate(buckets)]
    rank = share * up_to[-1]
    place = bisect_left(up_to, rank)
    low, high = _EDGES[place], _EDGES[place + 1]
    return low + (high - low) * (1 - (up_to[place] - rank) / buckets[place])
