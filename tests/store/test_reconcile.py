from __future__ import annotations

import pytest
import redis

from lb.errors import StoreError, UnknownServerError, UsageError
from lb.model import Admin, Health, Server, ServerId, ServerSpec, Source
from lb.store.keys import SCHEMA, Keys
from lb.store.pool import BackendPool
from tests.store.acts import Worker, spec

A, B, C = ServerId("a:1"), ServerId("b:1"), ServerId("c:1")


def servers(pool: BackendPool) -> dict[ServerId, Server]:
    return {server.id: server for server in pool.snapshot().servers}


def reconcile(pool: BackendPool, *specs: ServerSpec, strategy: str = "round-robin") -> list[ServerId]:
    return pool.reconcile(specs, strategy, "config")


def test_the_first_config_makes_the_pool(pool: BackendPool, connection: redis.Redis, keys: Keys) -> None:
    reconcile(pool, spec(B), spec(A, 2))
    assert connection.get(keys.schema) == SCHEMA
    assert [(s.id, s.weight, s.source) for s in pool.snapshot().servers] == [
        (B, 1, Source.CONFIG),
        (A, 2, Source.CONFIG),
    ]
    assert [(event.kind, event.server, event.by) for event in pool.events()] == [
        ("strategy", "", "config"),
        ("added", B, "config"),
        ("added", A, "config"),
    ]
    assert pool.version() == 1


def test_a_config_without_servers_makes_a_pool_too(pool: BackendPool) -> None:
    reconcile(pool)
    assert (pool.version(), pool.snapshot().strategy) == (1, "round-robin")


def test_an_unchanged_config_changes_nothing(pool: BackendPool) -> None:
    for _ in range(2):
        reconcile(pool, spec(A), spec(B))
        assert (pool.version(), len(pool.events())) == (1, 3)


def test_what_the_config_no_longer_names_leaves_without_a_record(pool: BackendPool) -> None:
    assert reconcile(pool, spec(A), spec(B)) == []
    assert reconcile(pool, spec(B)) == [A]
    assert list(servers(pool)) == [B]
    assert pool.removed() == []
    assert pool.events()[-1].detail == "no longer in the config"
    with pytest.raises(UnknownServerError):
        pool.restore(A, "test")


def test_what_an_operator_added_is_left_alone(pool: BackendPool) -> None:
    reconcile(pool, spec(A))
    pool.add(spec(C, 5), Source.ADMIN, "lb-admin")
    reconcile(pool, spec(A), spec(C, 1))
    assert (servers(pool)[C].weight, servers(pool)[C].source) == (5, Source.ADMIN)
    reconcile(pool, spec(A))
    assert C in servers(pool)


def test_an_operators_weight_survives_the_same_config(pool: BackendPool) -> None:
    reconcile(pool, spec(A), spec(B))
    pool.set_weight(A, 9, "lb-admin")
    reconcile(pool, spec(A), spec(B))
    assert servers(pool)[A].weight == 9
    reconcile(pool, spec(A, 2), spec(B))
    assert servers(pool)[A].weight == 2
    assert pool.events()[-1].detail == "2, was 9"


def test_an_operators_strategy_survives_the_same_config(pool: BackendPool) -> None:
    reconcile(pool, strategy="round-robin")
    pool.set_strategy("random", "lb-admin")
    reconcile(pool, strategy="round-robin")
    assert pool.snapshot().strategy == "random"
    reconcile(pool, strategy="least-connections")
    assert pool.snapshot().strategy == "least-connections"


def test_an_operators_first_strategy_is_kept(pool: BackendPool) -> None:
    pool.set_strategy("random", "lb-admin")
    reconcile(pool, strategy="round-robin")
    assert pool.snapshot().strategy == "random"


@pytest.mark.parametrize("admin", [Admin.DRAIN, Admin.MAINT])
def test_a_drained_server_stays_drained_and_a_down_one_down(pool: BackendPool, admin: Admin) -> None:
    reconcile(pool, spec(A), spec(B))
    pool.set_admin(A, admin, "lb-admin")
    pool.set_health(A, Health.DOWN, "refused", "test")
    reconcile(pool, spec(A), spec(B, 2))
    assert (servers(pool)[A].admin, servers(pool)[A].health) == (admin, Health.DOWN)


def test_a_new_url_of_the_same_server_is_taken_over(pool: BackendPool) -> None:
    reconcile(pool, spec(A))
    reconcile(pool, ServerSpec(A, "https://a:1"))
    assert servers(pool)[A].url == "https://a:1"
    assert pool.events()[-1].kind == "url"


def test_a_removed_server_that_the_config_names_comes_back(pool: BackendPool) -> None:
    reconcile(pool, spec(A), spec(B), spec(C))
    pool.remove(B, "lb-admin")
    pool.remove(C, "lb-admin")
    reconcile(pool, spec(A), spec(B))
    assert list(servers(pool)) == [A, B]
    assert [record.id for record in pool.removed()] == [C]
    with pytest.raises(UnknownServerError):
        pool.restore(B, "test")


def test_bad_weights_and_strategies_are_refused_before_anything_changes(pool: BackendPool) -> None:
    with pytest.raises(UsageError):
        reconcile(pool, spec(A, 0))
    with pytest.raises(UsageError):
        reconcile(pool, spec(A), strategy="fastest")
    assert pool.version() == 0


def test_reconciling_under_least_connections_orders_by_live_counts(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    reconcile(pool, spec(A), strategy="least-connections")
    worker = Worker(connection, keys, "w1")
    assert worker.lease(picks=2) == [A, A]
    reconcile(pool, spec(A), spec(B), strategy="least-connections")
    assert worker.lease(picks=2) == [B, B]


# --- refill


def test_a_lost_pool_comes_back_as_a_worker_last_saw_it(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    reconcile(pool, spec(B), spec(A, 2), strategy="least-connections")
    pool.add(spec(C), Source.ADMIN, "lb-admin")
    pool.set_admin(B, Admin.DRAIN, "lb-admin")
    pool.set_health(C, Health.DOWN, "refused", "test")
    kept = pool.snapshot()
    assert pool.refill(kept, "w1") is False

    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    assert pool.refill(kept, "w1") is True
    assert pool.refill(kept, "w2") is False
    refilled = pool.snapshot()
    assert (refilled.servers, refilled.strategy) == (kept.servers, kept.strategy)
    assert refilled.version == kept.version  # it is the same pool
    (event,) = pool.events()
    assert (event.kind, event.by, event.detail) == (
        "refilled",
        "w1",
        f"3 servers of version {kept.version}, the store was at version 0",
    )
    assert Worker(connection, keys, "w1").lease(picks=2) == [A, A]


def test_after_a_refill_the_same_config_does_not_undo_what_operators_set(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    reconcile(pool, spec(A))
    pool.set_weight(A, 9, "lb-admin")
    pool.set_strategy("random", "lb-admin")
    kept = pool.snapshot()
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    pool.refill(kept, "w1")
    reconcile(pool, spec(A))
    assert (servers(pool)[A].weight, pool.snapshot().strategy) == (9, "random")


def test_of_several_snapshots_the_newest_wins_in_any_order(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    reconcile(pool, spec(A), spec(B))
    pool.set_health(B, Health.DOWN, "refused", "test")
    older = pool.snapshot()
    pool.remove(A, "lb-admin")
    pool.set_health(B, Health.UP, "", "test")
    pool.add(spec(C), Source.ADMIN, "lb-admin")
    newest = pool.snapshot()
    for order in ((older, newest), (newest, older)):
        connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
        for snapshot in order:
            pool.refill(snapshot, "w1")
        assert pool.snapshot() == newest
        worker = Worker(connection, keys, "w1")
        assert set(worker.lease(picks=4)) == {B, C}
        assert connection.hget(keys.urls, A) is None


def test_a_refilled_server_has_no_record_of_its_removal(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    """The store fell back to when the server was out of the pool."""
    reconcile(pool, spec(A), spec(B))
    kept = pool.snapshot()
    pool.remove(A, "lb-admin")
    connection.set(keys.version, kept.version - 1)
    assert pool.refill(kept, "w1")
    assert not connection.exists(keys.removed_server(A))
    assert pool.removed() == []


def test_a_store_of_another_schema_is_not_refilled(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    reconcile(pool, spec(A))
    kept = pool.snapshot()
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    connection.set(keys.schema, "2")
    with pytest.raises(StoreError, match="schema 2"):
        pool.refill(kept, "w1")
    assert pool.version() == 0


def test_nothing_is_refilled_from_an_empty_snapshot(pool: BackendPool) -> None:
    assert pool.refill(pool.snapshot(), "w1") is False
    assert pool.version() == 0


def test_an_odd_memory_of_the_config_undoes_nothing(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    reconcile(pool, spec(A))
    pool.set_strategy("random", "operator")
    pool.set_weight(A, 7, "operator")
    connection.set(keys.config_strategy, "abc")
    connection.hset(keys.config_weights, A, "abc")
    reconcile(pool, spec(A))
    assert (pool.snapshot().strategy, servers(pool)[A].weight) == ("random", 7)
