from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from lb.errors import StoreError, StoreUnavailableError
from lb.model import Admin, Health, ServerId, Source, WorkerId
from lb.store.client import connect, open_fleet, open_pool
from lb.store.keys import Keys
from lb.store.lease_wire import LeaseProtocol, dial
from lb.store.pool import BackendPool
from tests.integration.engines import ACL_RULE, PASSWORD
from tests.store.acts import spec
from tests.support import Valkey


@pytest.fixture
def own_store() -> Iterator[Valkey]:
    """A store that the test may kill."""
    with tempfile.TemporaryDirectory(prefix="lb-") as data_dir, Valkey(Path(data_dir)) as store:
        yield store


def test_a_store_that_is_away_is_unavailable_and_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing.sock"
    pool = open_pool(f"unix://{path}?password=secret", Keys())
    for act in (pool.ping, pool.list, pool.removed, pool.events, lambda: next(pool.follow_events())):
        with pytest.raises(
            StoreUnavailableError, match=f"the store at unix://{path} cannot be reached"
        ) as raised:
            act()
        assert "secret" not in str(raised.value)
        assert str(raised.value).endswith("cannot be reached: No such file or directory")


def test_a_tcp_store_is_named_by_host_and_port(unused_port: int) -> None:
    fleet = open_fleet(f"redis://user:secret@127.0.0.1:{unused_port}/2", Keys())
    with pytest.raises(
        StoreUnavailableError, match=rf"the store at redis://127\.0\.0\.1:{unused_port}/2 "
    ) as raised:
        fleet.workers()
    assert "secret" not in str(raised.value)


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_store_that_hangs_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreUnavailableError, match="does not answer in time"):
            open_pool(url, Keys(), timeout_seconds=0.05).ping()


def test_what_is_no_store_is_said_to_be_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        url = f"redis://127.0.0.1:{web.getsockname()[1]}"

        def answer() -> None:
            with web.accept()[0] as client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = threading.Thread(target=answer)
        server.start()
        with pytest.raises(StoreError, match="is no Redis or Valkey"):
            open_pool(url, Keys()).ping()
        server.join()


def test_a_store_that_wants_a_password_is_an_error_of_its_own(own_store: Valkey) -> None:
    with connect(own_store.url) as connection:
        connection.config_set("requirepass", "right")
    with pytest.raises(StoreError, match="refuses the user name or password") as raised:
        open_pool(f"{own_store.url}?password=wrong", Keys()).ping()
    assert not isinstance(raised.value, StoreUnavailableError)
    with pytest.raises(StoreError, match="refuses the user name or password"):
        open_pool(own_store.url, Keys()).ping()
    open_pool(f"{own_store.url}?password=right", Keys()).ping()


def test_a_store_that_refuses_writes_is_unavailable_and_says_why(own_store: Valkey) -> None:
    """One line each, and reads go on where they can."""
    pool = open_pool(own_store.url, Keys())
    pool.reconcile([spec(ServerId("a:1"))], "random", "test")
    with connect(own_store.url) as connection:
        connection.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailableError, match=r"is out of memory \(its maxmemory\)"):
            pool.set_weight(ServerId("a:1"), 2, "test")
        connection.config_set("maxmemory", 0)
        connection.replicaof("127.0.0.1", 1)
        with pytest.raises(StoreUnavailableError, match="is a replica, which takes no writes"):
            pool.set_weight(ServerId("a:1"), 2, "test")
        connection.config_set("replica-serve-stale-data", "no")
        with pytest.raises(StoreUnavailableError, match="is a replica that lost its primary"):
            pool.version()
        connection.replicaof("NO", "ONE")
    pool.set_weight(ServerId("a:1"), 2, "test")
    assert pool.list()[0].server.weight == 2


def test_a_user_who_may_too_little_is_an_error_of_its_own(own_store: Valkey) -> None:
    with connect(own_store.url) as connection:
        connection.execute_command("ACL", "SETUSER", "lb", "on", ">secret", "~other:*", "+@all")
    pool = open_pool(f"{own_store.url}?username=lb&password=secret", Keys())
    with pytest.raises(StoreError, match=r"all that lb needs \(docs/engines\.md lists it\)") as raised:
        pool.ping()
    assert "secret" not in str(raised.value)


def test_the_documented_rights_are_enough_for_every_act(own_store: Valkey) -> None:
    a, b = ServerId("a:1"), ServerId("b:1")
    with connect(own_store.url) as connection:
        connection.execute_command("ACL", "SETUSER", "lb", "on", f">{PASSWORD}", *ACL_RULE.split())
    url = f"{own_store.url}?username=lb&password={quote(PASSWORD)}"
    pool, fleet = open_pool(url, Keys()), open_fleet(url, Keys())
    pool.ping()
    pool.reconcile([spec(a)], "least-connections", "test")
    pool.add(spec(b), Source.ADMIN, "test")
    pool.remove(a, "test")
    assert [record.id for record in pool.removed()] == [a]
    pool.restore(a, "test")
    pool.set_admin(a, Admin.DRAIN, "test")
    pool.set_weight(a, 2, "test")
    pool.set_strategy("round-robin", "test")
    pool.set_health(b, Health.DOWN, "", "test")
    pool.mark_failed(a, 3, "test")
    assert {status.server.id for status in pool.list()} == {a, b}
    assert next(pool.follow_events(after="0-0")).kind == "strategy"
    assert pool.version() == pool.snapshot().version
    assert pool.leader() is None
    protocol = LeaseProtocol(WorkerId("w"), Keys(), host="here", pid=1, started=1.0)
    with connect(url) as connection:
        sock = dial(connection)
        sock.setblocking(True)
        sock.sendall(
            protocol.register({a: 1}) + protocol.lease(1, {}, 1, ()) + protocol.release({a: [1, 1, 0]})
        )
        replies = b""
        while replies.count(b"\n") < 4:  # one line for `register`, three or more for `lease`
            replies += sock.recv(4096)
        assert b"-" not in replies, replies
        sock.close()
    assert [worker.id for worker in fleet.workers()] == ["w"]
    assert fleet.heartbeat(WorkerId("w"), 1, 3.0)[0]
    assert fleet.leave(WorkerId("w")) >= 0


def test_keys_of_another_type_count_as_missing(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    connection.set(keys.servers, "not a sorted set")
    assert pool.list() == []
    assert [(event.kind, event.detail) for event in pool.events()] == [
        ("repaired", f"{keys.servers} was a string, not a zset")
    ]


def test_the_same_pool_goes_on_after_the_store_restarted(own_store: Valkey) -> None:
    """The connection and the loaded scripts are gone; what was added is not."""
    pool = open_pool(own_store.url, Keys())
    pool.reconcile([spec(ServerId("a:1"))], "random", "test")
    own_store.kill()
    with pytest.raises(StoreUnavailableError):
        pool.list()
    own_store.start()
    assert [status.server.id for status in pool.list()] == ["a:1"]
    own_store.stop()
    own_store.start()
    assert pool.snapshot().strategy == "random"


@pytest.mark.parametrize(
    "name", ["version", "schema", "shape", "fail_open", "strategy", "admin", "urls", "sources"]
)
def test_an_act_repairs_what_no_worker_does(
    pool: BackendPool, connection: redis.Redis, keys: Keys, name: str
) -> None:
    pool.reconcile([spec(ServerId("a:1")), spec(ServerId("b:1"), 3)], "random", "test")
    connection.delete(getattr(keys, name))
    assert pool.set_weight(ServerId("a:1"), 7, "test").weight == 7
    snapshot = pool.snapshot()
    assert [(one.id, one.url, one.weight, one.eligible) for one in snapshot.servers] == [
        ("a:1", "http://a:1", 7, True),
        ("b:1", "http://b:1", 3, True),
    ]
    assert snapshot.strategy == "random"
    assert not snapshot.damage
