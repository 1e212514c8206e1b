"""Two pools in one cluster: each is on a node of its own, and exact."""

from __future__ import annotations

import itertools
from contextlib import ExitStack

import pytest
from redis.crc import key_slot

from lb.store.client import open_pool
from lb.store.keys import Keys
from tests.integration.balancer import Balancer
from tests.integration.engines import Cluster
from tests.integration.load import Load, shares
from tests.integration.servers import servers
from tests.support import eventually

pytestmark = pytest.mark.alone  # who waits for the store too long picks on his own, and that is not exact

_SLOTS = 16384
_NODES = 3


@pytest.mark.slow
def test_two_pools_are_on_two_nodes_of_a_cluster_and_each_is_exact() -> None:
    names = [name_on(node) for node in (0, 2)]
    with Cluster() as engine, ExitStack() as stack:
        pools = []
        for name in names:
            three = stack.enter_context(servers(3))
            config = {"servers": [server.url for server in three], "redis": engine.url, "pool": name}
            pools.append((stack.enter_context(Balancer(config, workers=2)), three))
        assert [holders(engine, name) for name in names] == [[0], [2]]

        loads = [stack.enter_context(Load(balancer.url, 8, total=300)) for balancer, _ in pools]
        for load, (_, three) in zip(loads, pools, strict=True):
            load.join()
            assert load.errors == []
            assert shares(load.outcomes) == {server.id: 100 for server in three}
        for name in names:
            pool = open_pool(engine.url, Keys(pool=name))
            eventually(lambda pool=pool: sum(one.connections for one in pool.list()) == 0, what="zero")


def name_on(node: int) -> str:
    """Return a name whose keys are on that one of the nodes, by the order of their slots."""
    names = (f"shop{number}" for number in itertools.count())
    return next(name for name in names if key_slot(name.encode()) * _NODES // _SLOTS == node)


def holders(engine: Cluster, name: str) -> list[int]:
    """Return which of the primaries hold keys of a pool."""
    slot = key_slot(Keys(pool=name).servers.encode())
    counts = [
        node.client.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot) for node in engine.nodes[:_NODES]
    ]
    return [number for number, count in enumerate(counts) if count]
