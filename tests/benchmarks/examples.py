"""Measurements made up for the tests of what is made of them."""

from __future__ import annotations

from tests.benchmarks.load import Load
from tests.benchmarks.measure import Measurement


def load(requests: int = 1000, worst_seconds: float = 0.02, **errors: int) -> Load:
    """A second of requests."""
    return Load(
        requests,
        seconds=1.0,
        received_bytes=100 * requests,
        p50_seconds=0.001,
        p99_seconds=0.002,
        worst_seconds=worst_seconds,
        cpu_seconds=0.5,
        errors=errors,
    )


def measurement(
    requests: int = 1000,
    cpu_seconds: float = 0.025,
    taken: float = 0.0,
    load_taken: float = 0.0,
    slowed: float = 0.0,
    **errors: int,
) -> Measurement:
    """A second with some CPU, disturbed so much."""
    return Measurement(load(requests, **errors), cpu_seconds, None, taken, load_taken, slowed)
