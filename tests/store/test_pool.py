from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
import redis

from lb.errors import ConflictError, OutdatedError, StoreError, UnknownServerError, UsageError
from lb.model import Admin, Health, ServerId, ServerSpec, Source
from lb.store.client import connect
from lb.store.keys import SCHEMA, Keys
from lb.store.pool import BackendPool
from tests.store.acts import Worker, spec

A, B, C = ServerId("a:1"), ServerId("b:1"), ServerId("c:1")


def restore_a(pool: BackendPool) -> object:
    return pool.restore(A, "test")


@pytest.fixture
def two(pool: BackendPool) -> BackendPool:
    """A pool of a:1 and b:1 under round-robin."""
    pool.reconcile([spec(A), spec(B)], "round-robin", "test")
    return pool


def kinds(pool: BackendPool) -> list[str]:
    return [event.kind for event in pool.events()]


# --- looks


def test_an_empty_store_has_a_pool_without_servers_or_strategy(pool: BackendPool) -> None:
    pool.ping()
    assert pool.version() == 0
    assert pool.snapshot().strategy == ""
    assert (pool.snapshot().servers, pool.list(), pool.removed(), pool.events()) == ((), [], [], [])


def test_a_store_of_another_schema_is_refused(two: BackendPool, connection: redis.Redis, keys: Keys) -> None:
    connection.set(keys.schema, "99")
    with pytest.raises(StoreError, match="schema 99, this version of lb works with schema 1"):
        two.ping()
    with pytest.raises(StoreError, match="schema 99"):
        two.add(spec(C), Source.ADMIN, "test")
    with pytest.raises(StoreError, match="schema 99"):
        two.reconcile([], "random", "test")
    with pytest.raises(StoreError, match="schema 99"):
        two.list()
    connection.set(keys.schema, SCHEMA)
    assert [status.server.id for status in two.list()] == [A, B]


@pytest.mark.parametrize(
    "act",
    [
        lambda pool: pool.add(spec(C), Source.ADMIN, "test"),
        lambda pool: pool.remove(A, "test"),
        restore_a,
        lambda pool: pool.set_admin(A, Admin.DRAIN, "test"),
        lambda pool: pool.set_weight(A, 2, "test"),
        lambda pool: pool.set_strategy("random", "test"),
    ],
    ids=["add", "remove", "restore", "set_admin", "set_weight", "set_strategy"],
)
def test_an_act_on_an_emptied_store_waits_until_the_pool_is_back(
    two: BackendPool,
    store_url: str,
    keys: Keys,
    act: Callable[[BackendPool], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lb.store.session.RETURN_SECONDS", 20)
    kept = two.snapshot()
    with connect(store_url) as connection, ThreadPoolExecutor() as executor:
        connection.delete(*connection.keys(f"{keys.prefix}:*"))
        acting = executor.submit(act, two)
        with pytest.raises(TimeoutError):
            acting.result(0.2)
        assert connection.keys(f"{keys.prefix}:*") == []
        assert BackendPool(connection, keys).refill(kept, "w1")
        if act is restore_a:  # the list of the removed is lost
            assert isinstance(acting.exception(10), UnknownServerError)
        else:
            acting.result(10)
            assert two.version() == kept.version + 1


def test_an_act_on_a_store_to_which_no_pool_returns_begins_one(pool: BackendPool) -> None:
    pool.add(spec(A), Source.ADMIN, "test")
    pool.ping()
    assert pool.version() == 1


def test_the_list_shows_connections_and_failures(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    assert worker.lease(picks=3) == [A, B, A]
    worker.release(B, failures=2)
    a, b = two.list()
    assert (a.connections, a.failures) == (2, 0)
    assert (b.connections, b.failures) == (0, 2)
    assert a.last_check is None
    assert a.last_check_at is None


def test_the_snapshot_carries_the_version(two: BackendPool) -> None:
    snapshot = two.snapshot()
    assert snapshot.version == two.version() == 1
    assert snapshot.strategy == "round-robin"
    assert [server.id for server in snapshot.servers] == [A, B]


def test_a_look_shows_snapshot_and_figures_of_one_instant(two: BackendPool) -> None:
    snapshot, statuses = two.look()
    assert (snapshot, statuses) == (two.snapshot(), two.list())
    assert [status.server for status in statuses] == [*snapshot.servers]


@pytest.mark.parametrize("value", ["nonsense", None])
@pytest.mark.parametrize("column", ["weights", "admin", "health", "sources", "since"])
def test_a_value_that_somebody_else_wrote_is_left_out_until_it_is_mended(
    two: BackendPool, connection: redis.Redis, keys: Keys, column: str, value: str | None
) -> None:
    if value:
        connection.hset(getattr(keys, column), A, value)
    else:
        connection.hdel(getattr(keys, column), A)
    snapshot = two.snapshot()
    assert [server.id for server in snapshot.servers] == [status.server.id for status in two.list()] == [B]
    assert snapshot.damage.startswith(f"{A}: ")
    two.remove(A, "test")
    assert not two.snapshot().damage
    assert [server.id for server in two.snapshot().servers] == [B]
    assert [record.id for record in two.removed()] == [A]
    assert two.restore(A, "test").eligible


# --- add, remove, restore


def test_a_new_server_is_ready_up_and_last(two: BackendPool) -> None:
    before = two.version()
    added = two.add(ServerSpec(C, "http://c:1/", weight=3), Source.ADMIN, "lb-admin")
    assert (added.admin, added.health, added.reason) == (Admin.READY, Health.UP, "")
    assert (added.url, added.weight, added.source) == ("http://c:1/", 3, Source.ADMIN)
    assert added.eligible
    assert two.snapshot().servers[-1] == added
    assert two.version() == before + 1
    event = two.events()[-1]
    assert (event.kind, event.server, event.by, event.detail) == ("added", C, "lb-admin", "http://c:1/")
    assert event.at == pytest.approx(added.since, abs=1)


def test_adding_a_server_twice_is_a_conflict(two: BackendPool) -> None:
    before = two.version()
    with pytest.raises(ConflictError, match=r"a:1 is in the pool already"):
        two.add(spec(A), Source.ADMIN, "test")
    assert two.version() == before


def test_a_removed_server_leaves_nothing_but_its_record(
    two: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    Worker(connection, keys, "w1").fail(A, 1)
    two.set_health(A, Health.DOWN, "refused", "test")
    two.remove(A, "lb-admin")

    assert [status.server.id for status in two.list()] == [B]
    assert kinds(two)[-1] == "removed"
    (record,) = two.removed()
    assert (record.id, record.url, record.weight) == (A, "http://a:1", 1)
    assert (record.source, record.reason) == (Source.CONFIG, "")
    left = {key for key in connection.scan_iter(f"{keys.prefix}:*") if mentions(connection, key, A)}
    assert left == {keys.removed, keys.removed_server(A), keys.events, keys.config_weights}


def mentions(connection: redis.Redis, key: str, server: str) -> bool:
    read = {
        "hash": lambda: connection.hgetall(key),
        "zset": lambda: connection.zrange(key, 0, -1),
        "list": lambda: connection.lrange(key, 0, -1),
        "set": lambda: connection.smembers(key),
        "stream": lambda: connection.xrange(key),
        "string": lambda: connection.get(key),
    }
    return server in key or server in str(read[connection.type(key)]())


def test_a_restored_server_is_as_it_was_brought_in(two: BackendPool) -> None:
    two.set_weight(A, 7, "test")
    two.set_admin(A, Admin.DRAIN, "test")
    two.remove(A, "test")
    restored = two.restore(A, "lb-admin")
    assert (restored.weight, restored.source, restored.url) == (7, Source.CONFIG, "http://a:1")
    assert restored.eligible
    assert two.removed() == []
    assert two.events()[-1].kind == "restored"


def test_adding_a_removed_server_forgets_the_record(two: BackendPool) -> None:
    two.remove(A, "test")
    two.add(spec(A), Source.ADMIN, "test")
    assert two.removed() == []
    with pytest.raises(UnknownServerError, match="a:1 is not on the list of the removed, which is empty"):
        two.restore(A, "test")


def test_the_latest_removed_comes_first(two: BackendPool) -> None:
    two.remove(A, "test")
    two.remove(B, "test")
    assert {record.id for record in two.removed()} == {A, B}
    assert two.removed()[0].at >= two.removed()[1].at


# --- admin, weight, strategy


@pytest.mark.parametrize("admin", [Admin.DRAIN, Admin.MAINT])
def test_only_a_ready_server_is_picked(
    two: BackendPool, connection: redis.Redis, keys: Keys, admin: Admin
) -> None:
    worker = Worker(connection, keys, "w1")
    drained = two.set_admin(A, admin, "lb-admin")
    assert drained.admin is admin
    assert worker.lease(picks=3) == [B, B, B]
    assert two.set_admin(A, Admin.READY, "lb-admin").eligible
    assert set(worker.lease(picks=2)) == {A, B}
    assert kinds(two)[-2:] == [admin, "ready"]


def test_setting_what_is_set_changes_nothing(two: BackendPool) -> None:
    before = two.version(), kinds(two)
    assert two.set_admin(A, Admin.READY, "test").admin is Admin.READY
    assert two.set_weight(A, 1, "test").weight == 1
    two.set_strategy("round-robin", "test")
    assert (two.version(), kinds(two)) == before


def test_a_weight_is_a_share_of_the_cycle(two: BackendPool, connection: redis.Redis, keys: Keys) -> None:
    assert two.set_weight(A, 3, "test").weight == 3
    assert two.events()[-1].detail == "3, was 1"
    assert Worker(connection, keys, "w1").lease(picks=8).count(A) == 6


@pytest.mark.parametrize("weight", [0, -1, 257])
def test_a_weight_out_of_range_is_refused(two: BackendPool, weight: int) -> None:
    with pytest.raises(UsageError, match=f"1 to 256, not {weight}"):
        two.set_weight(A, weight, "test")
    with pytest.raises(UsageError):
        two.add(ServerSpec(C, "http://c:1", weight), Source.ADMIN, "test")


def test_the_strategy_changes_for_all(two: BackendPool) -> None:
    two.set_strategy("least-connections", "lb-admin")
    assert two.snapshot().strategy == "least-connections"
    assert two.events()[-1].detail == "least-connections, was round-robin"
    with pytest.raises(UsageError, match='no strategy "fastest"; the strategies are round-robin'):
        two.set_strategy("fastest", "test")


def test_an_unknown_server_is_named_with_those_there_are(two: BackendPool) -> None:
    unknown = ServerId("a:2")
    for act in (
        lambda: two.remove(unknown, "test"),
        lambda: two.set_weight(unknown, 2, "test"),
        lambda: two.set_admin(unknown, Admin.DRAIN, "test"),
    ):
        with pytest.raises(UnknownServerError, match=r"a:2 is not in the pool; it holds a:1, b:1"):
            act()


def test_in_a_large_pool_an_unknown_server_is_named_with_near_ones(pool: BackendPool) -> None:
    pool.reconcile([spec(ServerId(f"backend:{n}")) for n in range(8000, 8030)], "random", "test")
    with pytest.raises(UnknownServerError, match=r"not in the pool; did you mean backend:801\d"):
        pool.remove(ServerId("backnd:8010"), "test")
    with pytest.raises(UnknownServerError, match="none of its 30 servers is named alike"):
        pool.remove(ServerId("x"), "test")


# --- events


def test_events_can_be_read_on_from_one(two: BackendPool) -> None:
    first = two.events()
    two.set_weight(A, 2, "test")
    two.set_weight(A, 3, "test")
    assert [event.detail for event in two.events(after=first[-1].id)] == ["2, was 1", "3, was 2"]
    assert [event.detail for event in two.events(count=1, after=first[-1].id)] == ["2, was 1"]
    assert [event.detail for event in two.events(count=1)] == ["3, was 2"]


def test_following_gives_what_comes_after(two: BackendPool) -> None:
    last = two.events()[-1].id
    two.set_weight(A, 2, "test")
    stream = two.follow_events(after=last)
    assert next(stream).detail == "2, was 1"
    two.set_weight(A, 3, "test")
    assert next(stream).detail == "3, was 2"


def test_following_outlasts_times_in_which_nothing_happens(
    two: BackendPool, store_url: str, keys: Keys
) -> None:
    """It blocks in pieces shorter than the connection's time-out; "new" is as of the first of them."""
    seen: list[str] = []
    with connect(store_url, timeout_seconds=1) as impatient:
        stream = BackendPool(impatient, keys).follow_events()
        thread = Thread(target=lambda: seen.append(next(stream).kind))
        thread.start()
        thread.join(0.7)
        assert thread.is_alive()
        two.set_weight(A, 2, "test")
        thread.join(5)
    assert seen == ["weight"]


def test_the_stream_of_events_is_capped(two: BackendPool, connection: redis.Redis, keys: Keys) -> None:
    for _ in range(650):
        two.set_weight(A, 2, "test")
        two.set_weight(A, 1, "test")
    assert 1000 <= connection.xlen(keys.events) <= 1100


def test_acts_can_insist_on_what_was_seen(two: BackendPool) -> None:
    pool, seen = two, two.version()
    as_seen = pool.at([seen, 999])
    assert as_seen.set_weight(A, 7, "first").weight == 7
    refused = (
        lambda: as_seen.set_weight(A, 8, "late"),
        lambda: as_seen.set_admin(A, Admin.DRAIN, "late"),
        lambda: as_seen.set_strategy("random", "late"),
        lambda: as_seen.add(spec(C), Source.ADMIN, "late"),
        lambda: as_seen.remove(A, "late"),
        lambda: as_seen.restore(A, "late"),
        lambda: pool.at([]).remove(A, "late"),
    )
    for act in refused:
        with pytest.raises(OutdatedError, match=f'the pool is now at version "{seen + 1}"'):
            act()
    assert [event.by for event in pool.events()][-1] == "first"
    assert pool.set_weight(A, 9, "anyone").weight == 9


@pytest.mark.parametrize("odd", [2**50 + 1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1])
def test_a_version_that_leaves_no_room_for_later_ones_is_none(
    two: BackendPool, connection: redis.Redis, keys: Keys, odd: int
) -> None:
    before = two.snapshot()
    connection.set(keys.version, odd)
    assert two.snapshot().damage
    assert two.refill(before, "worker")
    for weight in (5, 6, 7):
        assert two.set_weight(A, weight, "operator").weight == weight
    assert two.version() == before.version + 3


@pytest.mark.parametrize(
    ("column", "odd"),
    [
        ("urls", "http://elsewhere:80"),
        ("urls", "http://a:1/\u202e"),
        ("urls", "http:/x"),
        ("since", "0x10"),
        ("since", "1e3"),
        ("weights", "007"),
    ],
)
def test_a_value_that_lb_never_writes_is_damage(
    two: BackendPool, connection: redis.Redis, keys: Keys, column: str, odd: str
) -> None:
    before = two.snapshot()
    connection.hset(getattr(keys, column), A, odd)
    assert two.snapshot().damage.startswith(f"{A}: ")
    assert two.refill(before, "worker")
    assert two.snapshot().servers == before.servers


@pytest.mark.parametrize("odd", ["0", "-1", "007", "10000", str(2**53), "9" * 30])
def test_a_schema_that_no_version_of_lb_has_is_damage(
    two: BackendPool, connection: redis.Redis, keys: Keys, odd: str
) -> None:
    before = two.snapshot()
    connection.set(keys.schema, odd)
    two.ping()
    assert two.snapshot().damage == "schema"
    assert two.refill(before, "worker")
    assert two.snapshot().servers == before.servers
