from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from lb.model import ServerId, WorkerId
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.store.acts import Worker, spec

A, B = ServerId("a:1"), ServerId("b:1")
W1, W2 = WorkerId("w1"), WorkerId("w2")


@pytest.fixture
def two(pool: BackendPool) -> BackendPool:
    pool.reconcile([spec(A), spec(B)], "round-robin", "test")
    return pool


def silence(connection: redis.Redis, keys: Keys, worker: WorkerId, seconds: float) -> None:
    connection.zincrby(keys.workers, -seconds, worker)


def connections(pool: BackendPool) -> dict[ServerId, int]:
    return {status.server.id: status.connections for status in pool.list()}


def test_a_worker_must_register_before_it_is_known(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    assert fleet.heartbeat(W1, 1, 3) == (False, two.version(), [])
    assert fleet.workers() == []
    Worker(connection, keys, W1)
    assert fleet.heartbeat(W1, 7, 3) == (True, two.version(), [])


def test_a_worker_is_described_by_what_it_said(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    Worker(connection, keys, W1).lease(picks=3)
    (joined,) = fleet.workers()
    assert (joined.id, joined.host, joined.pid, joined.started) == (W1, "host", 1, 1.5)
    assert (joined.version, joined.connections) == (0, 3)
    fleet.heartbeat(W1, 7, 3)
    (beaten,) = fleet.workers()
    assert beaten.version == 7
    assert beaten.heartbeat >= joined.heartbeat


def test_a_lost_workers_connections_are_taken_back(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    lost, alive = Worker(connection, keys, W1), Worker(connection, keys, W2)
    lost.lease(picks=4)
    alive.lease(picks=1)
    silence(connection, keys, W1, 10)

    assert fleet.heartbeat(W2, 1, 3) == (True, two.version(), [W1])
    assert fleet.reap(W1, W2, 3) == 4
    assert connections(two) == {A: 1, B: 0}
    assert fleet.reap(W1, W2, 3) == -1
    event = two.events()[-1]
    assert (event.kind, event.by, event.detail) == ("worker-lost", W2, "w1, 4 connections taken back")
    assert [worker.id for worker in fleet.workers()] == [W2]
    assert not connection.exists(keys.worker(W1), keys.worker_connections(W1))


def test_a_worker_that_was_heard_of_in_time_is_not_reaped(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    Worker(connection, keys, W1).lease(picks=1)
    assert fleet.reap(W1, W2, 3) == -1
    assert connections(two) == {A: 1, B: 0}


def test_a_worker_that_leaves_gives_back_what_it_held(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    Worker(connection, keys, W1).lease(picks=2)
    assert fleet.leave(W1) == 2
    assert connections(two) == {A: 0, B: 0}
    assert two.events()[-1].kind == "worker-left"
    assert fleet.leave(W1) == -1


def test_least_connections_knows_at_once_what_was_taken_back(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    two.set_strategy("least-connections", "test")
    gone, staying = Worker(connection, keys, W1), Worker(connection, keys, W2)
    gone.register({A: 5})
    staying.register({B: 1})
    assert staying.lease(picks=1) == [B]
    fleet.leave(W1)
    assert staying.lease(picks=1) == [A]


def test_a_reaped_worker_is_told_and_comes_back_with_its_counts(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    """It was only slow: its requests are still in flight."""
    worker = Worker(connection, keys, W1)
    worker.lease(picks=3)
    silence(connection, keys, W1, 10)
    fleet.reap(W1, W2, 3)
    with pytest.raises(Exception, match="UNREGISTERED"):
        worker.lease(picks=1)
    assert fleet.heartbeat(W1, 1, 3) == (False, two.version(), [])
    for _ in range(2):
        worker.register({A: 2, B: 1})
        assert connections(two) == {A: 2, B: 1}
    worker.register({B: 3})
    assert connections(two) == {A: 0, B: 3}
    assert [event.kind for event in two.events()].count("worker-joined") == 2


def test_that_a_worker_came_or_left_is_written_to_disk_and_what_it_does_is_not(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    """After a restart of the store the workers register what they hold."""

    def writes(act: Callable[[], object]) -> bool:
        before = connection.info("replication")["master_repl_offset"]
        act()
        return connection.info("replication")["master_repl_offset"] > before

    assert writes(lambda: Worker(connection, keys, W1))
    worker = Worker(connection, keys, W1)
    for act in (worker.register, lambda: worker.lease(picks=3), lambda: worker.fail(A, 1)):
        assert not writes(act)
    assert not writes(lambda: fleet.heartbeat(W1, 7, 3))
    assert writes(lambda: fleet.leave(W1))


def test_reaping_counts_down_removed_servers_too(
    two: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    Worker(connection, keys, W1).lease(picks=2)
    two.remove(A, "test")
    fleet.leave(W1)
    assert not connection.hexists(keys.connections, A)


@pytest.mark.parametrize("odd", ["1.5", "1e3", "inf", "nan", "-3", "9" * 20])
def test_a_dead_worker_whose_counts_are_odd_is_reaped_all_the_same(
    pool: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys, odd: str
) -> None:
    pool.reconcile([spec(A)], "round-robin", "test")
    dead = WorkerId("dead")
    connection.zadd(keys.workers, {dead: 5})
    connection.hset(keys.worker_connections(dead), A, odd)
    assert fleet.reap(dead, by="test", silence_seconds=3) == 0
    assert fleet.workers() == []
    assert connection.hgetall(keys.connections) == {A: "0"}
