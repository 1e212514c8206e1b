from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from lb.api.counted import Counted
from lb.errors import StoreUnavailableError
from lb.metrics import scoreboard
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard
from lb.model import ServerId
from lb.store.keys import Keys
from lb.store.metrics import ENDED_SECONDS, Metrics, Publisher

ONE = ServerId("localhost:5001")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """A host with one worker and its API."""

    def __init__(self, metrics: Metrics, name: str, clock: Clock) -> None:
        self.fd = scoreboard.create(name)
        board = Scoreboard(self.fd)
        board.grant(0)
        self.meters = Meters(board, 0)
        self.counted = Counted(metrics, Publisher(metrics, board), clock)

    def count(self, requests: int = 1) -> None:
        for _ in range(requests):
            self.meters.answered(ONE, 200, 0.25)

    def sees(self) -> float:
        return self.counted.look().totals[ONE]["2xx/0.25"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(connection: redis.Redis, keys: Keys) -> Metrics:
    return Metrics(connection, keys)


@pytest.fixture
def hosts(metrics: Metrics, clock: Clock) -> Iterator[list[Host]]:
    hosts = [Host(metrics, name, clock) for name in ("web1", "web2")]
    yield hosts
    for host in hosts:
        os.close(host.fd)


def test_a_host_sees_its_own_as_of_now_and_no_host_tells_less_than_another_did(hosts: list[Host]):
    one, two = hosts
    one.count(3)
    two.count(4)
    two.counted.publish()
    assert one.sees() == two.sees() == 7
    one.count()
    assert one.sees() == 8
    assert two.sees() == 8


def test_what_others_counted_is_remembered_while_the_store_is_away(
    hosts: list[Host], metrics: Metrics, monkeypatch: pytest.MonkeyPatch
):
    one, two = hosts
    two.count(4)
    two.counted.publish()
    one.counted.look()
    one.count()
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "figures", away)
        with pytest.raises(StoreUnavailableError):
            one.counted.look()
    remembered = one.counted.remembered()
    assert remembered.totals[ONE]["2xx/0.25"] == 5
    assert [run.host for run in remembered.runs.values() if run.now is not None] == ["web1"]


def test_a_store_that_was_emptied_is_told_what_others_had_counted(
    connection: redis.Redis, keys: Keys, hosts: list[Host]
):
    one, two = hosts
    one.count(3)
    two.count(4)
    two.counted.publish()
    assert one.sees() == 7
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    one.count()
    assert one.sees() == two.sees() == 8


def away() -> None:
    raise StoreUnavailableError("away")


def test_an_error_is_logged_once_and_ends_nothing(hosts: list[Host], caplog: pytest.LogCaptureFixture):
    def odd() -> None:
        raise ValueError("not a number")

    for act in (odd, odd, away):
        hosts[0].counted.attempt(act)
    assert caplog.messages == ["the figures for /metrics could not be published or added up"]


def test_rates_are_of_the_whole_fleet(hosts: list[Host], clock: Clock):
    one, two = hosts
    one.counted.look()
    clock.now += 10
    two.count(20)
    two.counted.publish()
    rates = one.counted.rates()
    assert rates.window_seconds == 10
    assert rates.servers[ONE].requests_per_second == rates.total.requests_per_second == 2


def silence(connection: redis.Redis, keys: Keys) -> None:
    """Make the store think that all were silent for long."""
    for run in connection.zrange(keys.metrics, 0, -1):
        connection.zincrby(keys.metrics, -2 * ENDED_SECONDS, run)


def test_a_run_that_ended_is_folded_but_not_before_its_silence_was_heard(
    connection: redis.Redis, keys: Keys, hosts: list[Host], clock: Clock
):
    one, two = hosts
    one.count(3)
    two.count(4)
    two.counted.publish()
    silence(connection, keys)
    for passed, runs in ((0, 2), (ENDED_SECONDS, 2), (1, 1), (1, 1)):
        clock.now += passed
        one.counted.fold_ended()
        assert len(one.counted.look().runs) == runs
        assert one.sees() == 7
    two.count()
    assert two.sees() == one.sees() == 8


def test_nobody_is_taken_for_ended_because_the_store_was_away(
    connection: redis.Redis,
    keys: Keys,
    hosts: list[Host],
    clock: Clock,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
):
    one, two = hosts
    two.count()
    two.counted.publish()
    silence(connection, keys)
    one.counted.fold_ended()
    clock.now += 2 * ENDED_SECONDS
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "figures", away)
        with pytest.raises(StoreUnavailableError):
            one.counted.fold_ended()
    one.counted.fold_ended()
    assert len(one.counted.look().runs) == 2
