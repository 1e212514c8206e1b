from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.crc import key_slot

from lb.errors import StoreError, StoreUnavailableError
from lb.model import ServerId
from lb.store.client import connect, open_fleet, open_pool
from lb.store.keys import Keys
from lb.store.lease_wire import dial
from tests.integration.engines import Node, known
from tests.store.acts import spec
from tests.support import eventually, free_port

KEYS = Keys(pool="mine")
SLOT = key_slot(b"mine")


@contextmanager
def cluster(home: Path) -> Iterator[list[Node]]:
    """A cluster of two, the first of which holds all slots; it takes seconds to start."""
    options = ("cluster-enabled yes", "cluster-require-full-coverage no", "cluster-node-timeout 1000")
    options += ("cluster-allow-replica-migration no",)  # who gave away its only slot stays what it is
    buses = free_port(), free_port()
    nodes = [Node(home, f"node{number}", *options, f"cluster-port {bus}") for number, bus in enumerate(buses)]
    try:
        for node in nodes:
            node.start()
        nodes[0].client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, buses[1])
        eventually(lambda: all(len(known(node)) == 2 for node in nodes), seconds=10)
        eventually(lambda: all("cluster_state:ok" in info(node) for node in nodes), seconds=10)
        yield nodes
    finally:
        for node in nodes:
            node.close()


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
def two(lasting: list[Node]) -> Iterator[list[Node]]:
    """A cluster that holds nothing yet."""
    yield lasting
    first, second = lasting
    second.client.flushall()
    move(second, first)
    first.client.flushall()


def info(node: Node) -> list[str]:
    text: str = node.client.execute_command("CLUSTER", "INFO")
    return text.splitlines()


def move(source: Node, target: Node) -> None:
    """Give the slot of the pool to another node."""
    identity = target.client.execute_command("CLUSTER", "MYID")
    for node in (target, source):
        node.client.execute_command("CLUSTER", "SETSLOT", SLOT, "NODE", identity)


def url(*nodes: Node) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def test_every_act_goes_to_the_node_that_holds_the_pool_and_follows_it(two: list[Node]) -> None:
    """Scripts, pipelines and blocking reads, over a connection that was made before the slot moved."""
    first, second = two
    pool, fleet = open_pool(url(second), KEYS), open_fleet(url(second), KEYS)
    pool.reconcile([spec(ServerId("a:1"))], "random", "test")
    pool.remove(ServerId("a:1"), "test")
    assert [record.id for record in pool.removed()] == ["a:1"]
    assert fleet.workers() == []
    keys = first.client.keys()
    assert all("{mine}" in key for key in keys)
    first.client.delete(*keys)
    move(first, second)
    assert fleet.workers() == []
    assert pool.removed() == []
    pool.reconcile([spec(ServerId("b:1"))], "random", "test")
    assert next(pool.follow_events(after="0-0")).detail == "random"
    assert second.client.exists(KEYS.servers)
    with connect(url(first), KEYS) as store:
        dial(store).close()


def test_nodes_that_were_heard_of_are_asked_too(tmp_path: Path) -> None:
    with cluster(tmp_path) as (first, second):
        move(first, second)
        pool = open_pool(url(first), KEYS)
        pool.ping()
        first.kill()
        second.client.client_kill_filter(skipme=True, _type="normal")
        pool.ping()


def test_a_slot_that_nobody_holds_is_told(two: list[Node]) -> None:
    for node in two:
        node.client.execute_command("CLUSTER", "DELSLOTS", SLOT)
    with pytest.raises(StoreUnavailableError, match=rf"names one for slot {SLOT} \(.*knows of no such node"):
        open_pool(url(*two), KEYS).ping()


def test_nodes_that_are_away_are_told_of_in_the_same_words_each_time() -> None:
    """A worker that is degraded logs each reason that is new."""
    places = ",".join(f"127.0.0.1:{free_port()}" for _ in range(4))
    pool, said = open_pool(f"redis+cluster://{places}", KEYS), set()
    for _ in range(8):
        with pytest.raises(StoreUnavailableError) as caught:
            pool.ping()
        said.add(str(caught.value))
    assert len(said) == 1


def test_a_server_that_is_no_cluster_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path, "single")
    try:
        node.start()
        with pytest.raises(StoreUnavailableError, match="cluster support disabled"):
            open_pool(url(node), KEYS).ping()
    finally:
        node.close()


def test_a_node_of_a_cluster_taken_for_a_single_server_is_told(two: list[Node]) -> None:
    with pytest.raises(StoreError, match=r"another holds this pool \(redis\+cluster://\)"):
        open_pool(f"redis://127.0.0.1:{two[1].port}", KEYS).ping()
