from __future__ import annotations

import os

import pytest

from tests.benchmarks import pace


def test_a_core_is_compared_with_the_fastest_seen(monkeypatch: pytest.MonkeyPatch):
    times = iter([2.0, 2.0, 1.0, 2.0, 3.0, 1.5])
    monkeypatch.setattr(pace, "_work_seconds", lambda core: next(times))
    watched = pace.Pace()
    assert [watched.slowed(0, 1) for _ in range(3)] == [0, 1, 2]


def test_who_measures_may_run_where_it_could_before():
    allowed = os.sched_getaffinity(0)
    assert pace.Pace().slowed(min(allowed)) >= 0
    assert os.sched_getaffinity(0) == allowed
