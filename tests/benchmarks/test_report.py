from __future__ import annotations

import pytest

from tests.benchmarks.examples import measurement
from tests.benchmarks.report import disturbance, noise, python_build, shown_time, table
from tests.benchmarks.workloads import WORKLOADS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("'--enable-optimizations' '--with-lto=thin'", " (PGO and LTO)"),
        ("'--enable-optimizations' '--enable-shared'", " (PGO)"),
        ("'--prefix=/usr' '--without-lto'", " (configured with neither PGO nor LTO)"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_build_of_python_is_told_if_it_is_known(arguments: str | None, told: str):
    assert python_build(arguments) == told


def test_the_table_compares_medians_with_nginx():
    measured = {
        "nginx": [measurement(1000, 0.010), measurement(1200, 0.012), measurement(800, 0.008)],
        "lb": [measurement(600, 0.012), measurement(600, 0.030), measurement(300, 0.006)],
    }
    nginx, lb = table(WORKLOADS["tiny"], measured).splitlines()[2:]
    assert nginx == "| nginx | 10.0 µs | 1.00 | 1,000 | 100% | 1.00 ms | 2.00 ms | - |"
    assert lb == "| lb | 20.0 µs | 0.50 | 600 | 60% | 1.00 ms | 2.00 ms | - |"


def test_a_subject_with_an_error_has_no_figures():
    rows = table(WORKLOADS["tiny"], {"nginx": [measurement()], "lb": [measurement(), measurement(read=2)]})
    assert rows.splitlines()[-1].startswith("| lb | invalid: 2 read errors |")


def test_noise_names_the_core_that_was_shared():
    measured = {
        "nginx": [measurement(slowed=1)],
        "lb": [measurement(taken=0.02), measurement(load_taken=0.4)],
    }
    slow, shared = noise(measured)
    assert slow.startswith("nginx: a core took 100% longer than it can for the same work")
    assert shared.startswith("lb: something else had the core of wrk, the origin and the store for 40%")


def test_the_footer_tells_of_what_could_not_be_measured_in_peace():
    runs = [measurement(), measurement(taken=0.1), measurement(load_taken=0.1)]
    assert disturbance(runs[:1], repeated=2) == "2 disturbed runs repeated"
    assert disturbance(runs, repeated=6) == "6 disturbed runs repeated, 2 kept although disturbed"


@pytest.mark.parametrize(
    ("microseconds", "shown"), [(9.96, "10.0 µs"), (123.4, "123 µs"), (4567, "4.57 ms"), (143_000, "143 ms")]
)
def test_times_have_the_unit_that_suits_them(microseconds: float, shown: str):
    assert shown_time(microseconds) == shown
