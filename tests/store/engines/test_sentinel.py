from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lb.errors import StoreUnavailableError
from lb.store.client import connect, open_pool
from lb.store.keys import Keys
from lb.store.lease_wire import dial
from tests.integration.engines import SENTINEL_ACL_RULE, Node
from tests.support import eventually, free_port


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """A server, and a sentinel that watches it and asks for a password."""
    server = Node(tmp_path, "server")
    sentinel = Node(
        tmp_path,
        "sentinel",
        f"sentinel monitor main 127.0.0.1 {server.port} 1",
        "sentinel down-after-milliseconds main 1000",
        f"user lb on >secret {SENTINEL_ACL_RULE}",
        sentinel=True,
    )
    try:
        server.start()
        sentinel.start()
        yield server, sentinel
    finally:
        server.close()
        sentinel.close()


def url(sentinel: Node, service: str = "main", password: str = "secret") -> str:
    nobody = f"127.0.0.1:{free_port()}"
    credentials = f"sentinel_username=lb&sentinel_password={password}"
    return f"redis+sentinel://{nobody},127.0.0.1:{sentinel.port}/{service}/1?{credentials}"


def test_the_first_sentinel_that_answers_names_the_primary(nodes: tuple[Node, Node]) -> None:
    server, sentinel = nodes
    with connect(url(sentinel)) as store:
        finder = store.connection_pool.connection_kwargs["finder"]
        store.set("key", "value")
        assert finder.find() == ("127.0.0.1", server.port)
        assert finder._order[0] == ("127.0.0.1", sentinel.port)
        dial(store).close()
    server.client.select(1)
    assert server.client.get("key") == "value"


def test_an_unknown_service_is_told_with_what_each_sentinel_said(nodes: tuple[Node, Node]) -> None:
    _, sentinel = nodes
    with pytest.raises(StoreUnavailableError) as caught:
        open_pool(url(sentinel, "other"), Keys()).ping()
    told = str(caught.value)
    assert 'no sentinel names a primary of the service "other"' in told
    assert "No such master with that name" in told
    assert "Connection refused" in told
    assert "secret" not in told


def test_a_wrong_password_for_the_sentinels_is_told(nodes: tuple[Node, Node]) -> None:
    _, sentinel = nodes
    with pytest.raises(StoreUnavailableError, match="invalid username-password pair") as caught:
        open_pool(url(sentinel, password="false"), Keys()).ping()
    assert "false" not in str(caught.value)


def test_a_primary_that_is_down_is_not_tried(nodes: tuple[Node, Node]) -> None:
    server, sentinel = nodes
    server.kill()

    def told() -> bool:
        with pytest.raises(StoreUnavailableError) as caught:
            open_pool(url(sentinel), Keys()).ping()
        return f"its primary 127.0.0.1:{server.port} is down" in str(caught.value)

    eventually(told)


def test_a_replica_that_is_named_as_the_primary_is_refused(nodes: tuple[Node, Node]) -> None:
    server, sentinel = nodes
    server.client.replicaof("127.0.0.1", free_port())
    with connect(url(sentinel)) as store:
        finder = store.connection_pool.connection_kwargs["finder"]
        connection = redis.connection.Connection(port=server.port, protocol=2)
        connection.connect()
        with pytest.raises(redis.ConnectionError, match="named as the primary, and is a replica"):
            finder.check(connection)
        connection.disconnect()
