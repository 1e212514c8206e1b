from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.connection import Connection, ConnectionPool

from lb.store.engines.finder import MOVE, FoundConnection
from tests.integration.engines import Node


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[Node]]:
    """Two servers of which one may become the replica of the other."""
    nodes = [Node(tmp_path, "a"), Node(tmp_path, "b")]
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.close()


class Scripted:
    """A finder that names what the test says."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.refusal = ""
        self.asked = 0

    def __str__(self) -> str:
        return "redis+scripted://"

    def find(self) -> tuple[str, int]:
        self.asked += 1
        return "127.0.0.1", self.node.port

    def check(self, connection: Connection) -> None:
        if self.refusal:
            raise redis.ConnectionError(self.refusal)


def client(finder: Scripted) -> redis.Redis:
    return redis.Redis.from_pool(ConnectionPool(FoundConnection, finder=finder, retry=MOVE, protocol=2))


def test_a_connection_asks_once_and_stays(two: list[Node]) -> None:
    finder = Scripted(two[0])
    with client(finder) as store:
        store.set("key", "here")
        finder.node = two[1]
        assert store.get("key") == b"here"
    assert finder.asked == 1


def test_a_primary_that_was_demoted_refuses_and_the_command_goes_to_the_new_one(two: list[Node]) -> None:
    old, new = two
    finder = Scripted(old)
    with client(finder) as store:
        store.set("key", 1)
        finder.node = new
        old.client.replicaof("127.0.0.1", new.port)
        assert store.incr("key") == 1
        assert store.pipeline(transaction=False).incr("key").get("key").execute() == [2, b"2"]
    assert finder.asked == 2
    assert new.client.get("key") == "2"


def test_a_replica_that_is_named_again_is_an_error_after_the_second_try(two: list[Node]) -> None:
    old, new = two
    old.client.replicaof("127.0.0.1", new.port)
    finder = Scripted(old)
    with client(finder) as store, pytest.raises(redis.exceptions.ReadOnlyError):
        store.set("key", 1)
    assert finder.asked == 2


def test_a_lost_connection_is_not_tried_again_by_itself(two: list[Node]) -> None:
    """Nobody knows whether the command was done."""
    finder = Scripted(two[0])
    with client(finder) as store:
        store.ping()
        two[0].kill()
        finder.node = two[1]
        store.ping()  # found closed before anything was sent
        two[1].kill()
        with pytest.raises(redis.ConnectionError):
            store.ping()


def test_what_the_check_refuses_is_closed(two: list[Node]) -> None:
    finder = Scripted(two[0])
    finder.refusal = "not this one"
    with client(finder) as store:
        with pytest.raises(redis.ConnectionError, match="not this one"):
            store.ping()
        finder.refusal = ""
        assert store.ping()
    assert finder.asked == 2
