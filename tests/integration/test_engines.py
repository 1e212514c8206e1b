"""Sentinel, Cluster and TLS: the primary is killed under load, no request fails, and all is exact again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from urllib.parse import unquote

import pytest

from lb.model import Admin, Health, ServerId, WorkerStatus
from lb.store.client import open_fleet
from lb.store.keys import Keys
from tests.integration.balancer import Balancer
from tests.integration.engines import (
    ACL_RULE,
    PASSWORD,
    SENTINEL_ACL_RULE,
    Cluster,
    ClusterTls,
    Engine,
    Sentinel,
    Single,
    SingleTls,
)
from tests.integration.fleet import Fleet, answered, hanging, ok
from tests.integration.load import Client, shares
from tests.integration.servers import Request, ResetError, servers
from tests.support import eventually

WORKERS = 2


@contextmanager
def balancing(engine: Engine) -> Iterator[Fleet]:
    """A balancer of two workers and three servers on this store; idle in the end."""
    with servers(3) as three:
        config = {
            "servers": [f"http://localhost:{one.port}" for one in three],
            "redis": engine.url,
            "healthCheckInterval": "1s",
            "passiveHealth": {"failures": 3},
        }
        with Balancer(config, workers=WORKERS) as balancer:
            fleet = Fleet(balancer, three)
            fleet.reset()
            fleet.wait_workers(WORKERS)
            yield fleet
            fleet.wait_idle()
            assert PASSWORD not in unquote(balancer.log)


def unhurriedly(request: Request) -> bytes:
    """Answer such that a few clients are a light load."""
    threading.Event().wait(0.02)
    return ok(request)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Sentinel, Cluster, SingleTls])
def test_the_primary_is_killed_under_load(kind: type[Engine], capsys: pytest.CaptureFixture[str]) -> None:
    """What operators did is still there, no request failed, and the promises hold again."""
    with kind() as engine, balancing(engine) as fleet:
        rotates_exactly(fleet)
        fleet.pool.set_weight(fleet.ids[0], 2, "test")
        fleet.behave(unhurriedly)
        with fleet.load(connections=8) as load:
            eventually(lambda: len(load.outcomes) > 50, what="requests that flow")
            killed = time.monotonic()
            engine.fail_over()
            eventually(lambda: all_registered(fleet), seconds=20, what="workers that registered")
            recovered = time.monotonic() - killed
            flowed = len(load.outcomes)
            eventually(lambda: len(load.outcomes) > flowed + 50, what="requests that flow on")
        assert load.errors == []
        fleet.behave(ok)
        fleet.wait_idle()
        assert {one.server.id: one.server.weight for one in fleet.pool.list()}[fleet.ids[0]] == 2
        assert fleet.ids[0] in fleet.admin("list")
        fleet.reset()
        the_promises_hold(fleet)
    with capsys.disabled():
        print(f"\n{kind.__name__}: all workers on the new primary after {recovered:.1f} s", end=" ")


@pytest.mark.slow
def test_a_change_that_no_replica_got_is_put_back_by_the_workers() -> None:
    with Sentinel() as engine, balancing(engine) as fleet:
        drained = fleet.ids[0]

        def drain() -> None:
            fleet.pool.set_admin(drained, Admin.DRAIN, "test")
            version = fleet.pool.version()
            eventually(
                lambda: all(worker.version == version for worker in workers(fleet)),
                what="workers that have seen it",
            )

        engine.fail_over_without(drain)
        eventually(lambda: all_registered(fleet), seconds=20, what="workers that registered")
        eventually(lambda: admins(fleet).get(drained) is Admin.DRAIN, what="the pool as it was")
        assert drained not in {fleet.ask().server for _ in range(9)}
        assert "refilled" in {event.kind for event in fleet.pool.events()}
        fleet.reset()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Cluster, ClusterTls])
def test_a_pool_moves_to_another_node_of_the_cluster_under_load(kind: type[Cluster]) -> None:
    """Workers pick locally while its keys are at two places, and go on together at the new one."""
    with kind() as engine, balancing(engine) as fleet:
        before = engine.primary()
        fleet.behave(unhurriedly)
        with fleet.load(connections=8) as load:
            eventually(lambda: len(load.outcomes) > 50, what="requests that flow")
            engine.reshard(seconds=2)
            eventually(lambda: all_registered(fleet), seconds=20, what="workers that registered")
            eventually(lambda: backs(fleet.balancer.log) >= WORKERS, seconds=20, what="recovery")
        assert load.errors == []
        assert engine.primary() is not before
        fleet.behave(ok)
        fleet.wait_idle()
        fleet.reset()
        rotates_exactly(fleet)


@pytest.mark.slow
def test_a_store_that_reads_its_file_for_long_costs_no_request() -> None:
    with Single() as engine, balancing(engine) as fleet:
        for number in range(200):
            engine.server.client.set(f"other:{number}", "x" * 2000)
        fleet.pool.set_weight(fleet.ids[0], 2, "test")
        engine.server.client.save()
        fleet.behave(unhurriedly)
        with fleet.load(connections=8) as load:
            eventually(lambda: len(load.outcomes) > 50, what="requests that flow")
            engine.server.kill()
            engine.server.start()
            eventually(lambda: backs(fleet.balancer.log) == WORKERS, seconds=20, what="recovery")
        assert load.errors == []
        assert "is still loading its data" in fleet.balancer.log
        assert {one.server.id: one.server.weight for one in fleet.pool.list()}[fleet.ids[0]] == 2
        fleet.behave(ok)
        fleet.wait_idle()
        fleet.reset()
        rotates_exactly(fleet)


@pytest.mark.slow
def test_a_store_that_refuses_costs_no_request_and_is_told_why() -> None:
    """Each time all workers pick locally, and go on together when it is over."""
    with Single() as engine, balancing(engine) as fleet:
        server = engine.server.client
        causes = (
            ("OOM command not allowed", ("maxmemory", 1), ("maxmemory", 0)),
            ("READONLY You can't write", ("127.0.0.1", 1), ("NO", "ONE")),
            ("refuses the user name or password", ("resetpass", ">new"), (f">{PASSWORD}", "<new")),
            ("does not allow this user all", ("-script|load",), ("+script|load",)),
        )
        acts = (server.config_set, server.replicaof, engine.acl, engine.acl)
        fleet.behave(unhurriedly)
        with fleet.load(connections=8) as load:
            for (told, broken, whole), act in zip(causes, acts, strict=True):
                before = len(fleet.balancer.log)
                act(*broken)
                eventually(lambda: fleet.balancer.log[before:].count(told) >= WORKERS, seconds=10, what=told)  # noqa: B023
                act(*whole)
                eventually(lambda: backs(fleet.balancer.log[before:]) == WORKERS, seconds=10, what="recovery")  # noqa: B023
        assert load.errors == []
        fleet.behave(ok)
        fleet.wait_idle()
        rotates_exactly(fleet)


def backs(log: str) -> int:
    """Count the workers that pick in the store again."""
    return log.count("the store decides again")


def test_the_guide_gives_the_rules_that_are_tested() -> None:
    guide = (files("lb") / "docs" / "engines.md").read_text()
    assert f" {ACL_RULE}\n" in guide
    assert f" {SENTINEL_ACL_RULE}\n" in guide


def workers(fleet: Fleet) -> list[WorkerStatus]:
    return answered(open_fleet(fleet.balancer.store_url, Keys()).workers) or []


def admins(fleet: Fleet) -> dict[ServerId, Admin]:
    return {one.server.id: one.server.admin for one in answered(fleet.pool.list) or []}


def all_registered(fleet: Fleet) -> bool:
    """Tell whether the store answers, and knows the workers that run."""
    return sorted(worker.pid for worker in workers(fleet)) == sorted(fleet.balancer.worker_pids())


def the_promises_hold(fleet: Fleet) -> None:
    """Check items 1 to 5 of the promise, in their order."""
    rotates_exactly(fleet)
    counts_the_fleet(fleet)
    obeys_at_once(fleet)
    counts_no_ghosts(fleet)
    counts_failures_together(fleet)


def rotates_exactly(fleet: Fleet) -> None:
    with fleet.load(total=300, connections=6) as load:
        load.join()
    assert load.errors == []
    assert shares(load.outcomes) == dict.fromkeys(fleet.ids, 100)


def counts_the_fleet(fleet: Fleet) -> None:
    fleet.wait_idle()
    fleet.pool.set_strategy("least-connections", "test")
    with hung(fleet, 6):
        fleet.wait_counts(dict.fromkeys(fleet.ids, 2))
    fleet.wait_idle()
    fleet.pool.set_strategy("round-robin", "test")


def obeys_at_once(fleet: Fleet) -> None:
    drained, *others = fleet.ids
    fleet.pool.set_admin(drained, Admin.DRAIN, "test")
    assert {fleet.ask().server for _ in range(12)} == set(others)
    fleet.pool.set_admin(drained, Admin.READY, "test")
    assert {fleet.ask().server for _ in range(12)} == set(fleet.ids)


def counts_no_ghosts(fleet: Fleet) -> None:
    with hung(fleet, 12) as clients:
        fleet.wait_counts(dict.fromkeys(fleet.ids, 4))
        owners = fleet.owners()
        victim = owners[clients[0].port]
        os.kill(victim, signal.SIGKILL)
        left = sum(owners[client.port] != victim for client in clients)
        eventually(lambda: sum(fleet.connections().values()) == left, seconds=5, what="no ghosts")
    fleet.wait_idle()
    fleet.wait_workers(WORKERS)


def counts_failures_together(fleet: Fleet) -> None:
    failing = fleet.servers[0]

    def reset(request: Request) -> bytes:
        if request.method == "HEAD":  # a health check
            return ok(request)
        raise ResetError

    failing.behaviour = reset
    with fleet.load(total=60, connections=6) as load:
        load.join()
    assert load.errors == []
    eventually(lambda: fleet.health(failing) is Health.DOWN, what="a server that is down for all")
    fleet.reset()


@contextmanager
def hung(fleet: Fleet, count: int) -> Iterator[list[Client]]:
    """So many clients whose requests hang at their servers."""
    with hanging() as hang, ExitStack() as stack:
        fleet.behave(hang)
        clients = [stack.enter_context(Client(fleet.url)) for _ in range(count)]
        for client in clients:
            client.send(client.head())
        yield clients
    fleet.behave(ok)
