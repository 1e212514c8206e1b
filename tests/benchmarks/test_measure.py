from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.benchmarks.examples import measurement
from tests.benchmarks.measure import Measurement, undisturbed


def test_a_quiet_run_is_measured_once():
    quiet = measurement(taken=0.01)
    assert undisturbed(each_of(quiet), repeats=3) == (quiet, 0)


def test_a_disturbed_run_is_repeated_until_one_is_quiet():
    """Whether others had a core, on either, or the host slowed one down."""
    quiet = measurement()
    tries = each_of(measurement(taken=0.3), measurement(load_taken=0.3), measurement(slowed=0.3), quiet)
    assert undisturbed(tries, repeats=3) == (quiet, 3)


def test_repeats_have_an_end_and_the_quietest_counts():
    tries = [measurement(taken=share) for share in (0.3, 0.1, 0.2)]
    assert undisturbed(each_of(*tries), repeats=2) == (tries[1], 2)


def test_no_error_is_hidden_by_a_repeat():
    failed = measurement(taken=0.3, status=1)
    assert undisturbed(each_of(failed), repeats=3) == (failed, 0)


def each_of(*tries: Measurement) -> Callable[[], Measurement]:
    """Measure these in turn, and no more."""
    left: Iterator[Measurement] = iter(tries)
    return lambda: next(left)
