"""Connection counts and failure counts: what lease.lua, register.lua and reap.lua make of them."""

from __future__ import annotations

import pytest
import redis

from lb.errors import StoreError
from lb.model import ServerId, Source
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.store.acts import Worker, spec

A, B, C = (ServerId(f"{name}:1") for name in "abc")


@pytest.fixture
def two(pool: BackendPool) -> BackendPool:
    pool.reconcile([spec(A), spec(B)], "round-robin", "test")
    return pool


def test_a_removed_server_is_counted_on_when_it_comes_back(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    Worker(connection, keys, "w1").lease(picks=2)
    two.remove(A, "test")
    two.add(spec(A), Source.ADMIN, "test")
    assert {status.server.id: status.connections for status in two.list()} == {A: 1, B: 1}


def test_what_a_worker_does_not_hold_it_cannot_give_back(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    one, other = Worker(connection, keys, "w1"), Worker(connection, keys, "w2")
    assert one.lease(picks=2) == other.lease(picks=2) == [A, B]
    one.lease(releases=[(A, 5, 1, 0), (B, 1, 1, 0)])
    one.lease(releases=[(A, 1, 1, 0), (B, 1, 0, 0)])
    assert connections(two) == {A: 1, B: 1}
    assert one.lease(picks=1) == [A]
    assert connections(two) == {A: 2, B: 1}
    one.release(A)
    other.release(A)
    assert connections(two) == {A: 0, B: 1}


def connections(pool: BackendPool) -> dict[ServerId, int]:
    return {status.server.id: status.connections for status in pool.list()}


def test_a_removed_server_is_forgotten_when_its_last_request_ends(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    """And no other, though it has none."""
    worker = Worker(connection, keys, "w1")
    worker.lease(picks=3)
    two.remove(A, "test")
    worker.release(B)
    worker.release(A)
    assert connection.hgetall(keys.connections) == {A: "1", B: "0"}
    worker.release(A)
    assert connection.hgetall(keys.connections) == {B: "0"}
    assert connection.hgetall(keys.worker_connections(worker.id)) == {B: "0"}


def test_registering_clears_what_a_fail_over_brought_back(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    """A server that was removed meanwhile is in the counts again, though nobody is at work with it."""
    Worker(connection, keys, "w1").lease(picks=1)
    two.remove(A, "test")
    connection.hset(keys.connections, "gone:1", 0)
    Worker(connection, keys, "w2")
    assert connection.hgetall(keys.connections) == {A: "1", B: "0"}


def test_registering_puts_the_order_of_load_right(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    """After a fail-over it may be of another time than the counts."""
    pool.reconcile([spec(A, 2), spec(B), spec(C)], "least-connections", "test")
    connection.delete(keys.load)
    connection.zadd(keys.load, {A: 7, "gone:1": 0})
    Worker(connection, keys, "w1").register({A: 1, C: 3})
    assert dict(connection.zrange(keys.load, 0, -1, withscores=True)) == {A: 0.5, B: 0, C: 3}


def test_failures_are_counted_for_the_fleet_until_a_success(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    one, other = Worker(connection, keys, "w1"), Worker(connection, keys, "w2")
    assert one.fail(A, 2) == [A, 2]
    assert other.fail(A, 1) == [A, 3]
    assert other.release(A, succeeded=True, failures=1) == [A, 1]
    assert one.release(A, succeeded=True) == []
    assert one.release(A) == []
    assert two.list()[0].failures == 0


def test_failures_of_a_removed_server_are_not_counted(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    two.remove(A, "test")
    assert worker.fail(A, 3) == []
    assert not connection.exists(keys.failures)


def test_what_comes_after_a_later_registration_is_refused(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    worker.register({A: 2})
    worker.generation = 1
    with pytest.raises(StoreError, match="OUTDATED"):
        worker.lease(picks=1, releases=[(A, 1, 1, 0)])
    worker.generation = 0
    with pytest.raises(StoreError, match="OUTDATED"):
        worker.register({B: 7})
    assert {status.server.id: status.connections for status in two.list()} == {A: 2, B: 0}


def test_a_lease_needs_a_registered_worker_and_a_pool(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    with pytest.raises(StoreError, match="holds no pool"):
        worker.lease(picks=1)
    connection.delete(keys.worker(worker.id))
    with pytest.raises(StoreError, match="UNREGISTERED"):
        worker.lease(picks=1)


@pytest.mark.parametrize("strategy", [None, "known-to-a-newer-version"])
def test_a_pool_without_a_strategy_that_we_know_is_picked_from_in_turn(
    two: BackendPool, connection: redis.Redis, keys: Keys, strategy: str | None
) -> None:
    """`add` may come before anybody has chosen one; and a newer version of lb may know more of them."""
    worker = Worker(connection, keys, "w1")
    connection.delete(keys.strategy)
    if strategy:
        connection.set(keys.strategy, strategy)
    assert worker.lease(picks=4) == [A, B, A, B]
    assert worker.lease(excluding=[[A]]) == [B]
    assert two.snapshot().strategy == (strategy or "round-robin")


def test_a_pool_of_another_schema_is_neither_leased_from_nor_registered_in(
    two: BackendPool, connection: redis.Redis, keys: Keys, fleet: Fleet
) -> None:
    worker = Worker(connection, keys, "w1")
    connection.set(keys.schema, "99")
    acts = (lambda: worker.lease(picks=1), worker.register, lambda: fleet.heartbeat(worker.id, 1, 3))
    for act in acts:
        with pytest.raises(StoreError, match="pool of schema 99, this version of lb works with 1"):
            act()


@pytest.mark.parametrize("odd", ["abc", "nan", "inf", "-1", ""])
def test_an_act_does_not_depend_on_counts_that_somebody_else_has_written(
    two: BackendPool, connection: redis.Redis, keys: Keys, odd: str
) -> None:
    two.set_strategy("least-connections", "test")
    connection.hset(keys.connections, A, odd)
    two.set_weight(B, 2, "test")
    assert connection.zrange(keys.load, 0, -1, withscores=True) == [(A, 0), (B, 0)]


@pytest.mark.parametrize("excluding", [[], [A]])
@pytest.mark.parametrize("strategy", ["round-robin", "random", "least-connections"])
def test_a_place_without_an_id_is_damage_and_not_a_pool_without_servers(
    two: BackendPool, connection: redis.Redis, keys: Keys, strategy: str, excluding: list[ServerId]
) -> None:
    two.set_strategy(strategy, "test")
    worker = Worker(connection, keys, "w1")
    for place in (0, 1):
        connection.lset(keys.cycle, place, "")
    if strategy == "least-connections":
        connection.delete(keys.load)
        connection.zadd(keys.load, {"": 0, A: 1})
    with pytest.raises(StoreError, match="damaged"):
        worker.lease(0 if excluding else 1, [excluding] if excluding else [])
