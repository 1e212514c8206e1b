"""Compares what runs side by side on a machine that is not quiet: ratios within a round, and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the quartiles around it: half of the values are between these."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and quartiles of one value or more."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, method="inclusive")
    return Spread(low, median(values), high)


def ratios(values: Sequence[float], others: Sequence[float]) -> Spread:
    """Divide each value by the other one of its round, so that a slow round counts for both."""
    return spread([one / other for one, other in zip(values, others, strict=True)])


def order(names: Sequence[str], number: int) -> list[str]:
    """Return who is measured when in a round: forth, next time back, so that a trend favours nobody."""
    return list(names if number % 2 == 0 else reversed(names))
