"""While no ready server is up, all that are ready are picked: by every strategy, and not silently."""

from __future__ import annotations

from collections import Counter

import pytest
import redis

from lb.model import Admin, Health, ServerId
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from lb.strategies import STRATEGIES
from tests.store.acts import Worker, spec

A, B, C, D = (ServerId(f"{name}:1") for name in "abcd")
WEIGHTS = {A: 1, B: 2, C: 3}


@pytest.fixture
def three(pool: BackendPool) -> BackendPool:
    configure(pool)
    return pool


def configure(pool: BackendPool, strategy: str = "round-robin", *, fail_open: bool = True) -> None:
    pool.reconcile([spec(*each) for each in WEIGHTS.items()], strategy, "config", fail_open=fail_open)


def all_down(pool: BackendPool) -> None:
    for server in WEIGHTS:
        pool.set_health(server, Health.DOWN, "check: status 401", "health-checker")


def kinds(pool: BackendPool) -> list[str]:
    return [event.kind for event in pool.events() if event.kind.startswith("fail-open")]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_that_are_ready_are_picked_by_their_weights(
    pool: BackendPool, connection: redis.Redis, keys: Keys, strategy: str
) -> None:
    configure(pool, strategy)
    all_down(pool)
    workers = [Worker(connection, keys, name) for name in ("w1", "w2")]
    picks = Counter(
        server for turn in range(30) for server in workers[turn % 2].lease(picks=2, seed=turn + 1)
    )
    assert set(picks) == set(WEIGHTS)
    if strategy != "random":
        assert picks == {server: 10 * weight for server, weight in WEIGHTS.items()}


def test_it_begins_with_the_last_and_ends_with_the_first_and_both_are_events(
    three: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    three.set_health(A, Health.DOWN, "refused", "health-checker")
    three.set_health(B, Health.DOWN, "refused", "health-checker")
    assert (set(worker.lease(picks=9)), three.snapshot().fails_open, kinds(three)) == ({C}, False, [])

    three.set_health(C, Health.DOWN, "refused", "health-checker")
    assert set(worker.lease(picks=12)) == {A, B, C}
    assert three.snapshot().fails_open
    three.set_weight(A, 5, "lb-admin")  # a change meanwhile is none of that
    event = three.events()[-2]
    assert (event.kind, event.server, event.by) == ("fail-open", "", "health-checker")
    assert connection.get(keys.fail_open_since)

    three.set_health(B, Health.UP, "", "health-checker")
    assert set(worker.lease(picks=9)) == {B}
    assert not three.snapshot().fails_open
    assert not connection.exists(keys.fail_open_since)
    assert kinds(three) == ["fail-open", "fail-open-ended"]


def test_what_operators_have_set_aside_gets_nothing(
    three: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    three.set_admin(A, Admin.DRAIN, "lb-admin")
    three.set_admin(B, Admin.MAINT, "lb-admin")
    all_down(three)
    assert set(worker.lease(picks=9)) == {C}
    three.set_admin(C, Admin.DRAIN, "lb-admin")
    assert worker.lease(picks=2) == ["", ""]
    assert kinds(three) == ["fail-open", "fail-open-ended"]
    assert three.events()[-1].detail == "no server may be picked"
    three.set_admin(B, Admin.READY, "lb-admin")
    assert set(worker.lease(picks=9)) == {B}


def test_servers_that_are_up_but_drained_do_not_count(
    three: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    three.set_health(A, Health.DOWN, "refused", "health-checker")
    three.set_admin(B, Admin.DRAIN, "lb-admin")
    three.set_admin(C, Admin.DRAIN, "lb-admin")
    event = three.events()[-1]
    assert (event.kind, event.by) == ("fail-open", "lb-admin")
    assert set(Worker(connection, keys, "w1").lease(picks=9)) == {A}


def test_whatever_took_them_down(three: BackendPool, connection: redis.Redis, keys: Keys) -> None:
    """Failures on traffic and checks alike."""
    assert three.mark_failed(A, 5, "w1")
    for server in (B, C):
        three.set_health(server, Health.DOWN, "check: refused", "health-checker")
    assert set(Worker(connection, keys, "w1").lease(picks=12)) == {A, B, C}


def test_an_empty_pool_has_nothing_to_open(pool: BackendPool, connection: redis.Redis, keys: Keys) -> None:
    pool.reconcile([], "round-robin", "config")
    assert Worker(connection, keys, "w1").lease(picks=1) == [""]
    assert not pool.snapshot().fails_open
    assert kinds(pool) == []


def test_a_pool_that_comes_and_goes_while_open(
    three: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    """Who leaves is picked no more, who joins is up and ends it."""
    worker = Worker(connection, keys, "w1")
    all_down(three)
    three.remove(A, "lb-admin")
    assert set(worker.lease(picks=9)) == {B, C}
    three.restore(A, "lb-admin")
    assert set(worker.lease(picks=9)) == {A}


def test_the_config_can_turn_it_off_and_on(three: BackendPool, connection: redis.Redis, keys: Keys) -> None:
    worker = Worker(connection, keys, "w1")
    all_down(three)
    configure(three, fail_open=False)
    assert worker.lease(picks=1) == [""]
    assert (three.snapshot().fail_open, three.snapshot().fails_open) == (False, False)
    version = three.version()
    configure(three, fail_open=False)
    assert three.version() == version
    configure(three)
    assert set(worker.lease(picks=12)) == {A, B, C}
    assert kinds(three) == ["fail-open", "fail-open-ended", "fail-open"]


@pytest.mark.parametrize("fail_open", [True, False])
def test_a_store_that_lost_everything_gets_it_back(
    pool: BackendPool, connection: redis.Redis, keys: Keys, *, fail_open: bool
) -> None:
    configure(pool, fail_open=fail_open)
    all_down(pool)
    snapshot = pool.snapshot()
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    assert pool.refill(snapshot, "w1")
    assert pool.snapshot() == snapshot
    assert kinds(pool) == (["fail-open"] if fail_open else [])
    picked = set(Worker(connection, keys, "w1").lease(picks=12))
    assert picked == ({A, B, C} if fail_open else {""})


def test_a_pool_of_an_earlier_version_of_lb_fails_open(
    three: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    connection.delete(keys.fail_open)
    all_down(three)
    assert set(Worker(connection, keys, "w1").lease(picks=12)) == {A, B, C}
    version = three.version()
    connection.delete(keys.fail_open)
    configure(three)
    assert three.version() == version


@pytest.mark.parametrize("lost", ["deleted", "odd"])
def test_that_it_is_off_is_not_lost_with_its_key(
    pool: BackendPool, connection: redis.Redis, keys: Keys, lost: str
) -> None:
    """A worker that has read it puts it back."""
    configure(pool, fail_open=False)
    snapshot = pool.snapshot()
    if lost == "deleted":
        connection.delete(keys.fail_open)
    else:
        connection.set(keys.fail_open, "perhaps")
    assert pool.snapshot().damage == "fail_open"
    assert pool.refill(snapshot, "w1")
    assert pool.snapshot().damage == ""
    assert not pool.snapshot().fail_open


def test_failures_meanwhile_take_nobody_down_again(
    three: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    """They are counted, but are no events, and are forgotten when the server comes up."""
    worker = Worker(connection, keys, "w1")
    all_down(three)
    before = len(three.events())
    assert worker.fail(A, 7) == [A, 7]
    assert not three.mark_failed(A, 7, "w1")
    assert len(three.events()) == before
    three.set_health(A, Health.UP, "", "health-checker")
    assert worker.fail(A, 1) == [A, 1]


def test_counts_under_least_connections_go_on_through_it(
    pool: BackendPool, connection: redis.Redis, keys: Keys, fleet: Fleet
) -> None:
    """Also for a worker that registers while the pool fails open."""
    pool.reconcile([spec(A), spec(B)], "least-connections", "config")
    worker = Worker(connection, keys, "w1")
    assert sorted(worker.lease(picks=2)) == [A, B]
    for server in (A, B):
        pool.set_health(server, Health.DOWN, "refused", "health-checker")
    Worker(connection, keys, "w2").register({A: 3})
    assert worker.lease(picks=3) == [B, B, B]
    assert set(worker.lease(picks=2)) == {A, B}
