"""Connection counts and failure counts: what lease.lua, register.lua and reap.lua make of them."""

from __future__ import annotations

import secrets
from collections import Counter

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from lb.errors import StoreError
from lb.model import Admin, ServerId, Source
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.store.acts import Worker, spec

A, B, C = (ServerId(f"{name}:1") for name in "abc")
WORKERS = ("w1", "w2")
servers = st.sampled_from([A, B, C])
workers = st.sampled_from(WORKERS)


class Interleavings(RuleBasedStateMachine):
    """Two workers and an operator, in any order; beside them, what each worker should be counted for."""

    connection: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.keys = Keys(prefix=f"t{secrets.token_hex(4)}")
        self.pool = BackendPool(self.connection, self.keys)
        self.pool.reconcile([spec(A), spec(B, 2), spec(C, 3)], "least-connections", "test")
        self.fleet = Fleet(self.connection, self.keys)
        self.workers = {name: Worker(self.connection, self.keys, name) for name in WORKERS}
        self.held: dict[str, Counter[ServerId]] = {name: Counter() for name in WORKERS}

    @rule(worker=workers, picks=st.integers(1, 4))
    def lease(self, worker: str, picks: int) -> None:
        picked = self.workers[worker].lease(picks)
        self.held[worker].update(server for server in picked if server)

    @rule(worker=workers, server=servers, ended=st.integers(0, 5))
    def release(self, worker: str, server: ServerId, ended: int) -> None:
        """Perhaps more than it holds."""
        self.workers[worker].lease(releases=[(server, ended, 0, 0)])
        self.held[worker][server] = max(0, self.held[worker][server] - ended)

    @rule(worker=workers, held=st.dictionaries(servers, st.integers(0, 5)))
    def register(self, worker: str, held: dict[ServerId, int]) -> None:
        self.workers[worker].register(held)
        self.held[worker] = Counter(held)

    @rule(worker=workers)
    def reap(self, worker: str) -> None:
        assert self.fleet.reap(self.workers[worker].id, "test", 0) == self.held[worker].total()
        assert not self.connection.exists(self.keys.worker_connections(self.workers[worker].id))
        self.workers[worker].register()
        self.held[worker].clear()

    @rule(server=servers)
    def remove_or_restore(self, server: ServerId) -> None:
        if self.connection.zscore(self.keys.servers, server) is None:
            self.pool.restore(server, "test")
        else:
            self.pool.remove(server, "test")

    @rule(server=servers, admin=st.sampled_from(list(Admin)), weight=st.integers(1, 4))
    def change(self, server: ServerId, admin: Admin, weight: int) -> None:
        if self.connection.zscore(self.keys.servers, server) is not None:
            self.pool.set_admin(server, admin, "test")
            self.pool.set_weight(server, weight, "test")

    @invariant()
    def counts_are_those_of_the_workers(self) -> None:
        for name, worker in self.workers.items():
            counted = self.connection.hgetall(self.keys.worker_connections(worker.id))
            assert positive(counted) == +self.held[name]
        total = sum(self.held.values(), Counter[ServerId]())
        assert positive(self.connection.hgetall(self.keys.connections)) == +total

    @invariant()
    def the_order_of_load_is_that_of_the_counts(self) -> None:
        total = sum(self.held.values(), Counter[ServerId]())
        expected = {
            server.id: total[server.id] / server.weight
            for server in self.pool.snapshot().servers
            if server.eligible
        }
        assert dict(self.connection.zrange(self.keys.load, 0, -1, withscores=True)) == expected


def positive(counts: dict[str, str]) -> dict[str, int]:
    """Return the counts above zero; none may be below."""
    assert all(int(count) >= 0 for count in counts.values())
    return {server: int(count) for server, count in counts.items() if count != "0"}


def test_counts_never_drift(connection: redis.Redis) -> None:
    Interleavings.connection = connection
    run_state_machine_as_test(
        Interleavings,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


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


def test_failures_are_counted_for_the_fleet_until_a_success(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    one, other = Worker(connection, keys, "w1"), Worker(connection, keys, "w2")
    assert one.fail(A, 2) == [A, 2]
    assert other.fail(A, 1) == [A, 3]
    assert other.release(A, succeeded=True, failures=1) == [A, 1]
    assert one.release(A, succeeded=True) == []
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
