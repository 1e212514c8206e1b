"""What a member does beside the traffic: heartbeats, dead workers, failed servers, an emptied store."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis

from lb.config import Config
from lb.errors import StoreError
from lb.health.dead_workers import SILENCE_SECONDS
from lb.metrics.totals import gauges_of, totals_of
from lb.model import Admin, Health, ServerId, Source, WorkerId
from lb.processes import member
from lb.processes.member import Member
from lb.store.client import open_pool
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.metrics import Metrics
from lb.store.pool import BackendPool
from tests.proxy.rig import until
from tests.store.acts import Worker as OtherWorker
from tests.store.acts import spec
from tests.support import Valkey

A, B, C = (ServerId(f"localhost:{port}") for port in (5001, 5002, 5003))


def nobody(_members: Collection[ServerId], _left_out: Mapping[ServerId, frozenset[str]]) -> None:
    """No connections are kept to anyone."""


@pytest.fixture
def worker(pool: BackendPool, keys: Keys, store_url: str) -> Iterator[Member]:
    """A worker that has joined, over a pool of two servers."""
    pool.reconcile([spec(A), spec(B)], "round-robin", "test")
    config = Config.model_validate(
        {"redis": store_url, "keyPrefix": keys.prefix, "passiveHealth": {"failures": 3}}
    )
    worker = Member(config, nobody)
    worker.join()
    yield worker
    worker.leave()


def health_of(pool: BackendPool, server: ServerId) -> Health:
    return next(status.server.health for status in pool.list() if status.server.id == server)


def kinds(pool: BackendPool) -> list[str]:
    return [event.kind for event in pool.events()]


def test_a_worker_joins_and_leaves(worker: Member, fleet: Fleet, pool: BackendPool) -> None:
    until(lambda: [known.id for known in fleet.workers()] == [worker.id])
    worker.leave()
    assert fleet.workers() == []
    assert kinds(pool)[-2:] == ["worker-joined", "worker-left"]


def test_a_beat_tells_the_version_that_is_applied(worker: Member, fleet: Fleet, pool: BackendPool) -> None:
    until(fleet.workers)
    worker.beat()
    assert fleet.workers()[0].version == pool.version()


def test_a_worker_without_traffic_puts_back_what_was_added_last(
    worker: Member, fleet: Fleet, pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    def follows() -> bool:
        worker.beat()
        return fleet.workers()[0].version == pool.version()

    until(fleet.workers)
    pool.add(spec(C), Source.ADMIN, "test")
    until(follows)
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    worker.beat()
    until(lambda: [status.server.id for status in pool.list()] == [A, B, C])


def test_a_beat_takes_back_what_a_dead_worker_held(
    worker: Member, fleet: Fleet, pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    other = OtherWorker(connection, keys, "other-1")
    other.lease(picks=3)
    until(lambda: len(fleet.workers()) == 2)
    connection.zincrby(keys.workers, -SILENCE_SECONDS - 1, other.id)
    worker.beat()
    assert [known.id for known in fleet.workers()] == [worker.id]
    assert [status.connections for status in pool.list()] == [0, 0]


def test_a_worker_that_was_taken_for_dead_joins_again(worker: Member, fleet: Fleet) -> None:
    until(fleet.workers)
    fleet.reap(worker.id, by="test", silence_seconds=0)
    worker.beat()
    until(lambda: [known.id for known in fleet.workers()] == [WorkerId(worker.id)])


def test_a_server_is_marked_down_at_the_limit_and_not_before(worker: Member, pool: BackendPool) -> None:
    worker.server_failed(A, 2)
    gevent.sleep(0)
    assert health_of(pool, A) is Health.UP
    worker.server_failed(A, 3)
    until(lambda: health_of(pool, A) is Health.DOWN)


def test_a_server_that_is_down_is_not_marked_down_at_each_failure(
    pool: BackendPool, keys: Keys, store_url: str, fleet: Fleet
) -> None:
    """While the pool fails open it gets requests, and each that fails would cost another call."""
    called = []

    def waiting(call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        called.append(call.__name__)
        return call(*arguments, **named)

    def follows() -> bool:
        worker.beat()
        return fleet.workers()[0].version == pool.version()

    config = settings(keys, store_url)
    pool.reconcile(config.servers, config.strategy, "test")
    worker = Member(config, nobody, waiting=waiting)
    worker.join()
    for server in (A, B):
        pool.set_health(server, Health.DOWN, "check: refused", "test")
    until(follows)
    worker.server_failed(A, 9)
    gevent.sleep(0)
    assert "mark_failed" not in called
    pool.set_health(A, Health.UP, "", "test")
    until(follows)
    worker.server_failed(A, 9)
    until(lambda: health_of(pool, A) is Health.DOWN)
    worker.leave()


def test_a_worker_tells_that_it_was_degraded(worker: Member, fleet: Fleet) -> None:
    until(fleet.workers)
    worker.beat()
    assert fleet.workers()[0].degraded_since is None
    worker.store_lost("for a test")
    worker.beat()
    [status] = fleet.workers()
    assert status.degraded_since
    assert status.degraded_until is None
    worker.store_back()
    worker.beat()
    [status] = fleet.workers()
    assert status.degraded_since
    assert status.degraded_until
    assert status.degraded_since <= status.degraded_until


def test_the_events_tell_once_of_a_worker_that_was_degraded_for_long(
    worker: Member, pool: BackendPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "TOLD_SECONDS", 1e-9)
    worker.store_lost("for a test")
    worker.beat()
    assert "store-back" not in kinds(pool)
    worker.store_back()
    worker.beat()
    worker.beat()
    assert kinds(pool).count("store-back") == 1

    monkeypatch.undo()
    worker.store_lost("for a test")
    worker.store_back()
    worker.beat()
    assert kinds(pool).count("store-back") == 1


def test_a_store_that_lost_the_newest_changes_gets_them_back(
    worker: Member, pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    """As after a fail-over to a replica that was behind."""
    before = pool.snapshot()
    pool.add(spec(C), Source.ADMIN, "test")
    worker.beat()
    until(lambda: worker._snapshot.version == pool.version())
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    pool.refill(before, "another")
    worker.beat()
    until(lambda: [status.server.id for status in pool.list()] == [A, B, C])


def settings(keys: Keys, url: str) -> Config:
    servers = [f"http://{A}", f"http://{B}"]
    return Config.model_validate({"redis": url, "keyPrefix": keys.prefix, "servers": servers})


@contextmanager
def begun(config: Config) -> Iterator[Member]:
    """A worker that a supervisor started."""
    worker = Member(config, nobody)
    worker.join(may_degrade=True)
    yield worker
    worker.leave()


def test_a_replaced_worker_begins_degraded_with_the_servers_of_the_config(keys: Keys) -> None:
    with tempfile.TemporaryDirectory(prefix="lb-") as directory, Valkey(Path(directory)) as store:
        pool = open_pool(store.url, keys)
        config = settings(keys, store.url)
        pool.reconcile(config.servers, config.strategy, "test")
        pool.add(spec(C), Source.ADMIN, "test")
        store.kill()
        with begun(config) as worker:
            assert {lease.server for _ in range(4) if (lease := worker.line.lease())} == {A, B}
            store.start()
            until(lambda: worker._snapshot.version == pool.version() and worker.line.degraded_since is None)
            assert {lease.server for _ in range(3) if (lease := worker.line.lease())} == {A, B, C}


def test_who_may_not_begin_degraded_needs_the_store(keys: Keys) -> None:
    worker = Member(settings(keys, "redis://127.0.0.1:1"), nobody)
    with pytest.raises(StoreError):
        worker.join()


def test_who_has_lost_the_store_does_not_look_for_it_to_say_goodbye(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that is away as well would hold up the end of the process for long."""
    monkeypatch.setattr(Fleet, "leave", pytest.fail)
    with begun(settings(keys, "redis://127.0.0.1:1")):
        pass


def test_a_pool_that_nobody_remembers_is_made_from_the_config(
    pool: BackendPool, keys: Keys, store_url: str
) -> None:
    with begun(settings(keys, store_url)):
        until(lambda: [status.server.id for status in pool.list()] == [A, B])


def test_a_pool_that_began_with_an_operators_add_is_joined(
    pool: BackendPool, connection: redis.Redis, keys: Keys, store_url: str
) -> None:
    """Nobody has chosen a strategy yet, and a config without servers does not choose one either."""
    pool.add(spec(C), Source.ADMIN, "test")
    config = Config.model_validate({"redis": store_url, "keyPrefix": keys.prefix})
    member = Member(config, nobody)
    member.join()
    until(lambda: (lease := member.line.lease()) is not None and lease.server == C)
    assert pool.snapshot().strategy == "round-robin"
    member.leave()


def test_a_worker_follows_the_pool_on_after_a_value_that_it_could_not_read(
    worker: Member, pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    connection.hset(keys.since, A, "nonsense")
    pool.set_weight(B, 2, "test")
    worker.beat()
    gevent.sleep(0)
    pool.remove(A, "test")
    until(lambda: worker.beat() or [server.id for server in worker._snapshot.servers] == [B])


def test_an_emptied_store_is_refilled(
    worker: Member, pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    connection.delete(*connection.scan_iter(f"{keys.prefix}:*"))
    worker.beat()  # notices that it is unknown, registers, and finds no pool
    until(lambda: [status.server.id for status in pool.list()] == [A, B])
    until(lambda: "refilled" in kinds(pool))


POOL_KEYS = [
    "schema",
    "version",
    "strategy",
    "servers",
    "urls",
    "weights",
    "admin",
    "health",
    "sources",
    "since",
]
DERIVED = ["cycle", "shape"]
TRAFFIC = ["cursor", "connections", "failures", "events", "workers"]


@pytest.mark.parametrize("odd", [False, True], ids=["lost", "odd"])
@pytest.mark.parametrize("name", [*POOL_KEYS, *DERIVED, *TRAFFIC, "all but version", "worker"])
def test_a_damaged_pool_is_picked_from_and_repaired(
    worker: Member, pool: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys, name: str, odd: bool
) -> None:
    pool.set_admin(B, Admin.DRAIN, "test")
    pool.add(spec(C, 3), Source.ADMIN, "test")
    held = worker.line.lease()
    worker.beat()
    until(lambda: worker._snapshot.version == pool.version())
    before = pool.snapshot()

    for key in [*connection.scan_iter(f"{keys.prefix}:*")] if " " in name else [key_of(keys, name, worker)]:
        if key != keys.version or name == "version":
            connection.delete(key)
            if odd:
                connection.execute_command("SADD" if key != keys.schema else "APPEND", key, "odd")
    picked = [worker.line.lease() for _ in range(8)]
    assert {lease and lease.server for lease in picked} == {A, C}

    until(lambda: worker.beat() or (worker.line.degraded_since is None and whole(pool, fleet, worker)))
    assert pool.snapshot().servers == before.servers
    assert {lease and lease.server for lease in [worker.line.lease() for _ in range(4)]} == {A, C}
    for lease in [*picked, held]:
        assert lease
        worker.line.release(lease)


def key_of(keys: Keys, name: str, worker: Member) -> str:
    return keys.worker_connections(worker.id) if name == "worker" else str(getattr(keys, name))


def whole(pool: BackendPool, fleet: Fleet, worker: Member) -> bool:
    counts = {status.server.id: status.connections for status in pool.list()}
    in_flight = {server: count for server, count in worker.line.held.items() if count}
    return not pool.snapshot().damage and {one: n for one, n in counts.items() if n} == in_flight


def test_what_only_others_know_of_a_damaged_pool_is_left_to_them_for_a_while(
    worker: Member, pool: BackendPool, connection: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This worker has not read the newest version; nobody else lives, so in the end it fills the gaps."""
    pool.set_weight(A, 7, "test")
    connection.delete(keys.admin, keys.sources)
    worker._renew_snapshot()
    assert pool.snapshot().damage
    monkeypatch.setattr(member, "_PATIENCE_SECONDS", 0.0)
    worker._renew_snapshot()
    assert [(one.id, one.weight, one.admin) for one in pool.snapshot().servers] == [
        (A, 7, Admin.READY),
        (B, 1, Admin.READY),
    ]
    repair = next(event for event in pool.events() if event.kind == "repaired")
    assert repair.detail == f"{A}: no admin; 2 servers of version 2, gaps filled from version 1"


def test_a_version_that_is_lost_takes_no_newer_change_with_it(
    worker: Member, pool: BackendPool, connection: redis.Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator has just changed the pool, and no worker has read of it."""
    pool.set_weight(A, 7, "test")
    connection.delete(keys.version)
    worker._renew_snapshot()
    monkeypatch.setattr(member, "_PATIENCE_SECONDS", 0.0)
    worker._renew_snapshot()
    assert [(one.id, one.weight) for one in pool.snapshot().servers] == [(A, 7), (B, 1)]
    assert not pool.snapshot().damage
    assert pool.version() > 2


def test_who_keeps_connections_is_told_of_the_members(pool: BackendPool, keys: Keys, store_url: str) -> None:
    told: list[tuple[set[ServerId], Mapping[ServerId, frozenset[str]]]] = []
    config = settings(keys, store_url)
    pool.reconcile(config.servers, config.strategy, "test")
    worker = Member(config, lambda members, left_out: told.append((set(members), left_out)))
    worker.join()
    pool.remove(B, "test")
    worker.beat()
    until(lambda: told[-1:] == [({A}, {})])
    assert told[0] == ({A, B}, {})
    pool.leave_out(A, ["192.0.2.1:80"], "left out", "test")
    worker.beat()
    until(lambda: told[-1:] == [({A}, {A: {"192.0.2.1:80"}})])
    worker.leave()


def test_calls_that_wait_for_the_store_can_be_made_elsewhere(
    pool: BackendPool, keys: Keys, store_url: str
) -> None:
    """Where sockets are not gevent's the line must not stand still meanwhile."""
    config = settings(keys, store_url)
    pool.reconcile(config.servers, config.strategy, "test")
    worker = Member(config, nobody, waiting=elsewhere)
    worker.join()
    worker.server_failed(A, 5)
    worker.beat()
    until(lambda: health_of(pool, A) is Health.DOWN)
    worker.leave()
    assert kinds(pool)[-1] == "worker-left"
    assert {"dial", "snapshot", "heartbeat", "mark_failed", "leave"} <= set(CALLED)


CALLED: list[str] = []


def elsewhere(call: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    CALLED.append(call.__name__)
    return gevent.get_hub().threadpool.apply(call, arguments, named)


def test_a_worker_without_a_supervisor_publishes_what_it_counts(
    worker: Member, connection: redis.Redis, keys: Keys
) -> None:
    worker.meters.answered(A, 200, 0.25)
    worker.server_failed(B, 3)
    until(lambda: totals_of(worker.meters.board).get(B))
    worker.beat()
    worker.granted(2, 0.0002)
    worker.leave()
    totals = Metrics(connection, keys).figures().totals
    assert totals[A] == {"2xx/0.25": 1, "seconds": 0.25}
    assert totals[B] == {"ejections": 1}
    assert totals[f"@{socket.gethostname()}"]["picks"] == 2


def test_the_time_without_the_store_is_counted(worker: Member) -> None:
    assert not gauges_of(worker.meters.board)["degraded"]
    worker.store_lost("for a test")
    assert gauges_of(worker.meters.board)["degraded"]
    worker.store_back()
    assert not gauges_of(worker.meters.board)["degraded"]
    assert totals_of(worker.meters.board)[f"@{socket.gethostname()}"]["degraded_seconds"] > 0
