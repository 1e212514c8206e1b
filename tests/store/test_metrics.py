from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from lb.errors import StoreUnavailableError
from lb.metrics import layout, scoreboard
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard
from lb.metrics.totals import Totals
from lb.model import ServerId
from lb.store.client import connect
from lb.store.keys import Keys
from lb.store.metrics import Metrics, Publisher
from tests.support import Valkey

ONE, TWO = ServerId("localhost:5001"), ServerId("localhost:5002")


class Host:
    """A host with one worker, at the moments that a test wants."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.fd = scoreboard.create(name)
        self.board = Scoreboard(self.fd)
        self.board.grant(0)
        self.meters = Meters(self.board, 0)
        self.now = 0.0
        self.publisher = Publisher(metrics, self.board, lambda: self.now)

    def count(self, *, requests: int = 1, server: ServerId = ONE) -> None:
        for _ in range(requests):
            self.meters.answered(server, 200, 0.25)


@pytest.fixture
def metrics(connection: redis.Redis, keys: Keys) -> Metrics:
    return Metrics(connection, keys)


@pytest.fixture
def host(metrics: Metrics) -> Iterator[Host]:
    host = Host(metrics, "web1")
    yield host
    os.close(host.fd)


@pytest.fixture
def other(metrics: Metrics) -> Iterator[Host]:
    other = Host(metrics, "web2")
    yield other
    os.close(other.fd)


def requests(metrics: Metrics, server: ServerId = ONE) -> float:
    return metrics.figures().totals.get(server, {}).get("2xx/0.25", 0)


def test_the_fleet_is_the_sum_of_its_hosts(metrics: Metrics, host: Host, other: Host):
    host.count(requests=3)
    other.count(requests=4)
    other.count(server=TWO)
    other.meters.clients = 9
    host.publisher.publish()
    other.publisher.publish()
    figures = metrics.figures()
    assert figures.totals == {
        ONE: {"2xx/0.25": 7, "seconds": 1.75},
        TWO: {"2xx/0.25": 1, "seconds": 0.25},
    }
    assert {run.host: run.now for run in figures.runs.values()} == {
        "web1": {"workers": 1, "degraded": 0, "clients": 0, "max_clients": 0},
        "web2": {"workers": 1, "degraded": 0, "clients": 9, "max_clients": 0},
    }


def test_nothing_published_is_nothing_counted(metrics: Metrics):
    assert metrics.figures().totals == {}


def test_publishing_again_adds_nothing(metrics: Metrics, host: Host):
    host.count()
    for _ in range(3):
        host.publisher.publish()
    assert requests(metrics) == 1


def test_only_what_changed_is_sent(connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host):
    host.count()
    host.count(server=TWO)
    host.publisher.publish()
    connection.hdel(keys.metrics_run(host.publisher.run), TWO)
    host.count()
    host.publisher.publish()
    assert requests(metrics) == 2
    assert requests(metrics, TWO) == 0


def test_a_store_that_lost_everything_has_it_back(
    connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host
):
    host.count(requests=2)
    host.publisher.publish()
    connection.delete(keys.metrics, keys.metrics_run(host.publisher.run))
    host.publisher.publish()
    assert requests(metrics) == 2


def test_a_store_that_was_emptied_has_back_what_nobody_counts_any_more(
    connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host, other: Host
):
    gone, ended = Host(metrics, "web3"), Host(metrics, "web4")
    for each in (host, other, gone, ended):
        each.count(requests=3)
        each.publisher.publish()
    metrics.fold(ended.publisher.run, silence_seconds=-1)
    host.count()
    host.publisher.publish()
    known = metrics.figures()
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    host.count()
    host.publisher.publish()
    lost = metrics.figures()
    assert lost.since != known.since
    assert metrics.put_back(known)
    assert not metrics.put_back(known)
    assert metrics.figures().since == known.since
    assert requests(metrics) == 14
    other.count()
    for each in (host, other):
        each.publisher.publish()
    assert requests(metrics) == 15
    assert sorted(run.host for run in metrics.figures().runs.values()) == ["web1", "web2", "web3"]
    for each in (gone, ended):
        os.close(each.fd)


def test_a_store_that_came_back_with_old_figures_gets_the_new(
    connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host
):
    key = keys.metrics_run(host.publisher.run)
    host.count()
    host.publisher.publish()
    old = connection.hgetall(key)
    host.count(requests=5)
    host.publisher.publish()
    connection.hset(key, mapping=old)
    host.publisher.publish()
    assert requests(metrics) == 6


def test_another_publisher_of_the_same_scoreboard_goes_on(metrics: Metrics, host: Host):
    host.count()
    host.publisher.publish()
    host.count()
    Publisher(metrics, host.board).publish()
    host.count()
    host.publisher.publish()
    assert requests(metrics) == 3


def test_a_reply_that_was_lost_is_made_up_for(metrics: Metrics, host: Host, monkeypatch: pytest.MonkeyPatch):
    host.count()
    host.publisher.publish()
    host.count()
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "publish", lost_reply(metrics))
        with pytest.raises(StoreUnavailableError):
            host.publisher.publish()
    assert requests(metrics) == 2
    host.count()
    host.publisher.publish()
    assert requests(metrics) == 3


def lost_reply(metrics: Metrics) -> Callable[..., int]:
    publish = metrics.publish

    def and_lose(*arguments: Any, **named: Any) -> int:
        publish(*arguments, **named)
        raise StoreUnavailableError("no reply")

    return and_lose


def test_what_was_counted_stays_when_its_run_is_folded(
    connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host, other: Host
):
    host.count(requests=3)
    host.meters.accepted()
    host.publisher.publish()
    other.count()
    other.publisher.publish()
    before = metrics.figures().totals
    for each in (host, other):
        assert metrics.fold(each.publisher.run, silence_seconds=-1, host_lives=True)
        assert not metrics.fold(each.publisher.run, silence_seconds=-1)
        assert metrics.figures().totals == before
    assert metrics.figures().runs == {}
    for each in (host, other):
        assert 29 * 86400 < connection.ttl(keys.metrics_run(each.publisher.run)) <= 30 * 86400


def test_hosts_that_are_gone_for_good_are_counted_together(metrics: Metrics, host: Host, other: Host):
    for each in (host, other):
        each.meters.accepted()
        each.publisher.publish()
        metrics.fold(each.publisher.run, silence_seconds=-1)
    assert metrics.figures().totals == {"@": {"accepted": 2}}


def test_a_run_that_was_heard_of_is_not_folded(metrics: Metrics, host: Host):
    host.publisher.publish()
    assert not metrics.fold(host.publisher.run)


def test_the_last_time_it_is_written_to_disk(connection: redis.Redis, metrics: Metrics, host: Host):
    host.publisher.publish()
    before = connection.info("replication")["master_repl_offset"]
    host.count()
    host.publisher.publish(last=True)
    assert connection.info("replication")["master_repl_offset"] > before


def test_a_store_that_fell_back_has_it_back_though_the_host_is_gone(
    connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host
):
    key = keys.metrics_run(host.publisher.run)
    host.count(requests=3)
    host.publisher.publish()
    old = connection.hgetall(key)
    host.count(requests=4)
    host.publisher.publish()
    known = metrics.figures()
    connection.hset(key, mapping=old)
    fallen = metrics.figures()
    assert fallen.lack(known)
    assert metrics.put_back(known)
    assert not metrics.put_back(known)
    assert requests(metrics) == 7
    host.count()
    host.publisher.publish()
    assert requests(metrics) == 8


@pytest.mark.parametrize("working", [False, True])
def test_of_a_run_that_said_that_it_ends_nothing_is_kept(
    connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host, working: bool
):
    """An API that ends while workers go on counting is replaced by another."""
    host.count()
    host.board.head(0)[layout.PID] = 1 if working else os.getpid()
    host.publisher.publish(last=True)
    metrics.fold(host.publisher.run, silence_seconds=-1)
    assert connection.exists(keys.metrics_run(host.publisher.run)) == working
    assert requests(metrics) == 1


def test_a_run_that_was_folded_though_it_lives_goes_on_as_another(metrics: Metrics, host: Host):
    host.count(requests=3)
    host.publisher.publish()
    for expected in (5, 7):
        metrics.fold(host.publisher.run, silence_seconds=-1)
        host.count(requests=2)
        host.publisher.publish()
        assert requests(metrics) == expected


@pytest.mark.parametrize("last", [False, True])
def test_nothing_counts_twice_if_a_reply_was_lost_before_the_run_was_folded(
    metrics: Metrics, host: Host, monkeypatch: pytest.MonkeyPatch, last: bool
):
    host.count(requests=3)
    host.publisher.publish()
    host.count(requests=2)
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "publish", lost_reply(metrics))
        with pytest.raises(StoreUnavailableError):
            host.publisher.publish()
    metrics.fold(host.publisher.run, silence_seconds=-1)
    host.count()
    host.publisher.publish(last=last)
    assert requests(metrics) == 6


def test_who_replaces_the_api_while_its_run_is_folded_says_what_came_since(metrics: Metrics, host: Host):
    host.count(requests=3)
    host.publisher.publish()
    metrics.fold(host.publisher.run, silence_seconds=-1)
    host.count(requests=2)
    Publisher(metrics, host.board).publish()
    assert requests(metrics) == 5


def test_what_was_folded_is_known_to_a_store_that_started_anew(tmp_path: Path, keys: Keys):
    """Publications are not written to disk each time, and folding is."""
    with Valkey(tmp_path) as store, connect(store.url) as connection:
        metrics = Metrics(connection, keys)
        host = Host(metrics, "web1")
        host.count(requests=3)
        host.publisher.publish()
        host.count(requests=2)
        host.publisher.publish()
        metrics.fold(host.publisher.run, silence_seconds=-1)
        store.stop()
        store.start()
        host.count()
        with suppress(StoreUnavailableError):  # the old connection
            host.publisher.publish()
        host.publisher.publish()
        assert requests(metrics) == 6
        os.close(host.fd)


def test_if_nobody_knows_how_much_was_folded_nothing_counts_twice(
    connection: redis.Redis, metrics: Metrics, keys: Keys, host: Host
):
    host.count(requests=3)
    host.publisher.publish()
    metrics.fold(host.publisher.run, silence_seconds=-1)
    connection.delete(keys.metrics_run(host.publisher.run))
    host.count()  # lost
    host.publisher.publish()
    host.count()
    host.publisher.publish()
    assert requests(metrics) == 4


def test_who_replaces_the_api_goes_on_from_the_same_base(metrics: Metrics, host: Host):
    old = host.publisher
    host.count(requests=3)
    old.publish()
    metrics.fold(old.run, silence_seconds=-1)
    host.count(requests=2)
    old.publish()
    for expected in (6, 7):
        host.count()
        Publisher(metrics, host.board).publish()
        assert requests(metrics) == expected


def test_two_publishers_that_learn_of_it_at_once_go_on_as_the_same(
    metrics: Metrics, host: Host, monkeypatch: pytest.MonkeyPatch
):
    first, second = host.publisher, Publisher(metrics, host.board)
    host.count(requests=3)
    first.publish()
    metrics.fold(first.run, silence_seconds=-1)
    host.count()
    folded = metrics.folded

    def meanwhile(run: str) -> Totals | None:
        monkeypatch.setattr(metrics, "folded", folded)
        second.publish()
        return folded(run)

    monkeypatch.setattr(metrics, "folded", meanwhile)
    first.publish()
    for each in (first, second):
        host.count()
        each.publish()
    assert requests(metrics) == 6


def test_of_two_publishers_the_second_follows_the_first_to_another_run(metrics: Metrics, host: Host):
    second = Publisher(metrics, host.board)
    host.count(requests=3)
    for each in (host.publisher, second):
        each.publish()
    metrics.fold(second.run, silence_seconds=-1)
    host.count()
    for each in (host.publisher, second, host.publisher, second):
        each.publish()
    assert host.publisher.run == second.run
    assert requests(metrics) == 4


def test_the_clock_of_the_machine_may_be_set_back(
    metrics: Metrics, host: Host, monkeypatch: pytest.MonkeyPatch
):
    host.publisher.publish()
    known = metrics.figures()
    with monkeypatch.context() as patch:
        patch.setattr("time.time_ns", lambda: 1)
        restarted = Publisher(metrics, host.board)
        restarted.publish()
        assert restarted.own().number > metrics.figures().runs[restarted.run].number
    assert not metrics.figures().lack(known)


def test_what_a_host_counted_before_its_last_run_is_folded_with_it(metrics: Metrics, host: Host):
    restarted = Host(metrics, "web1")
    for each, lives in ((host, True), (restarted, False)):
        each.meters.accepted()
        each.publisher.publish()
        metrics.fold(each.publisher.run, silence_seconds=-1, host_lives=lives)
        assert metrics.figures().totals == ({"@web1": {"accepted": 1}} if lives else {"@": {"accepted": 2}})
    os.close(restarted.fd)


def test_figures_of_folded_and_floating_numbers_are_exact(metrics: Metrics, host: Host):
    host.meters.answered(ONE, 200, 0.1)
    host.meters.answered(ONE, 200, 0.2)
    host.publisher.publish()
    before = metrics.figures().totals[ONE]
    metrics.fold(host.publisher.run, silence_seconds=-1)
    assert metrics.figures().totals[ONE] == before


def test_it_is_written_to_disk_at_first_and_then_once_a_minute(
    connection: redis.Redis, metrics: Metrics, host: Host
):
    def replicated() -> int:
        return int(connection.info("replication")["master_repl_offset"])

    written = []
    for now in (0.0, 1.0, 59.0, 60.0, 61.0):
        host.now = now
        host.count()
        before = replicated()
        host.publisher.publish()
        written.append(replicated() > before)
    assert written == [True, False, False, True, False]
