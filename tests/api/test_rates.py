from __future__ import annotations

import pytest

from lb.api.rates import WINDOW_SECONDS, Window

ONE, TWO = "localhost:5001", "localhost:5002"


def test_without_two_looks_there_are_none():
    window = Window()
    assert window.rates().total.requests_per_second == 0
    window.see(100.0, {ONE: {"2xx/0.005": 7}})
    rates = window.rates()
    assert (rates.window_seconds, rates.total.requests_per_second, rates.total.p50_seconds) == (0, 0, None)
    assert rates.servers == {}


def test_by_server_and_in_sum():
    window = Window()
    window.see(100.0, {ONE: {"2xx/0.005": 7}})
    window.see(
        105.0,
        {
            ONE: {"2xx/0.005": 17, "seconds": 0.1},
            TWO: {"2xx/0.005": 5, "5xx/0.5": 4, "cut": 1, "gone": 9},
            "-": {"5xx/0.001": 5},
            "@web1": {"accepted": 400},
        },
    )
    rates = window.rates()
    assert rates.window_seconds == 5
    assert rates.total.requests_per_second == 5.0
    assert rates.total.error_ratio == 10 / 25
    assert set(rates.servers) == {ONE, TWO}
    assert rates.servers[ONE].requests_per_second == 2.0
    assert rates.servers[ONE].error_ratio == 0
    assert rates.servers[TWO].error_ratio == 0.5


def test_quantiles_lie_within_their_bucket():
    window = Window()
    window.see(0.0, {})
    window.see(10.0, {ONE: {"2xx/0.005": 90, "2xx/0.25": 9, "4xx/+Inf": 1}, TWO: {"2xx/+Inf": 2}})
    one, two = window.rates().servers[ONE], window.rates().servers[TWO]
    assert one.p50_seconds == pytest.approx(0.0025 + 0.0025 * 50 / 90)
    assert one.p99_seconds == pytest.approx(0.25)
    assert two.p50_seconds == two.p99_seconds == 60.0


def test_a_server_without_requests_has_no_latency():
    window = Window()
    for at in (0.0, 10.0):
        window.see(at, {ONE: {"2xx/0.005": 7}})
    rate = window.rates().servers[ONE]
    assert (rate.requests_per_second, rate.p50_seconds, rate.p99_seconds, rate.error_ratio) == (
        0,
        None,
        None,
        None,
    )


def test_only_the_last_seconds_count():
    window = Window()
    for at in range(100):
        window.see(float(at), {ONE: {"2xx/0.005": 1000 if at < 50 else 1000 + at}})
    rates = window.rates()
    assert rates.window_seconds == WINDOW_SECONDS
    assert rates.servers[ONE].requests_per_second == 1.0


def test_many_looks_at_once_do_not_narrow_the_window():
    window = Window()
    window.see(0.0, {ONE: {"2xx/0.005": 0}})
    for at in range(1, 1000):
        window.see(9 + at / 1000, {ONE: {"2xx/0.005": at}})
    assert window.rates().window_seconds == pytest.approx(9.999)
    assert len(window._seen) < 10


def test_totals_that_a_store_lost_are_no_negative_rates():
    window = Window()
    window.see(0.0, {ONE: {"2xx/0.005": 1000}})
    window.see(10.0, {ONE: {"2xx/0.005": 3}})
    assert window.rates().total.requests_per_second == 0
