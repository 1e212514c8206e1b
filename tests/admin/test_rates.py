from __future__ import annotations

import doctest
import threading

import pytest

from lb.admin import rates
from lb.admin.rates import Sampler
from lb.metrics.totals import text_of
from lb.store.metrics import Metrics

RUN = "run-of-east"


class Host:
    """Publishes what the test says, as one run, and at the moment that it says."""

    def __init__(self, connection, keys) -> None:
        self.metrics = Metrics(connection, keys)
        self._connection = connection
        self._keys = keys

    def publish(self, requests: int, *, seconds_ago: float = 0) -> None:
        counts = text_of({"2xx/0.005": requests, "5xx/0.005": requests // 10})
        fields = {"host": "east", "now": "", "localhost:5001": counts}
        assert self.metrics.publish(RUN, "", str(requests), fields) == 1
        self._connection.zincrby(self._keys.metrics, -seconds_ago, RUN)


@pytest.fixture
def host(connection, keys) -> Host:
    return Host(connection, keys)


@pytest.fixture
def sampler(host) -> Sampler:
    return Sampler(host.metrics)


def test_rates_are_between_publications(host, sampler):
    host.publish(1000, seconds_ago=4)
    assert sampler.look() is None
    assert sampler.look() is None
    host.publish(1080)
    found = sampler.look()
    assert found
    assert found.total.requests_per_second == pytest.approx(22, rel=0.2)
    assert found.servers["localhost:5001"].error_ratio == pytest.approx(8 / 88)


def test_without_a_host_that_publishes_nothing_is_waited_for(host, sampler, monkeypatch):
    monkeypatch.setattr(rates, "_PATIENCE_SECONDS", 3600)
    assert sampler.wait() is None
    host.publish(1000, seconds_ago=60)
    assert sampler.wait() is None


def test_it_waits_for_the_next_publication(host, sampler):
    host.publish(1000, seconds_ago=4)
    later = threading.Timer(0.2, host.publish, [1080])
    later.start()
    found = sampler.wait()
    later.join()
    assert found
    assert found.total.requests_per_second > 0


def test_a_host_that_stands_still_is_not_waited_for_for_long(host, sampler, monkeypatch):
    monkeypatch.setattr(rates, "_PATIENCE_SECONDS", 0.1)
    host.publish(1000)
    assert sampler.wait() is None


def test_figures_read_well():
    assert doctest.testmod(rates).failed == 0


def test_the_pool_with_its_rates(run, add, host, monkeypatch):
    """`status` shows the sum; what each server does is for `top`."""
    add()
    host.publish(1000, seconds_ago=4)
    later = threading.Timer(0.5, host.publish, [1880])
    later.start()
    out = run("status").out
    later.join()
    assert "errors" in next(line for line in out.splitlines() if line.startswith("requests/s"))
