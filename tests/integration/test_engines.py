"""Sentinel, Cluster and TLS: the primary is killed under load, no request fails, and all is exact again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from urllib.parse import unquote

import pytest

from lb.model import Admin, Health, ServerId, WorkerStatus
from lb.store.client import open_fleet
from lb.store.keys import Keys
from tests.integration import figures
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
from tests.integration.load import Client, Load, shares
from tests.integration.servers import HttpServer, Request, ResetError
from tests.support import eventually

pytestmark = pytest.mark.alone  # who waits for the store too long picks on his own, and that is not exact

WORKERS = 2


@contextmanager
def balancing(engine: Engine, there: list[HttpServer]) -> Iterator[Fleet]:
    """A balancer of two workers on this store; idle in the end."""
    config = {
        "servers": [f"http://localhost:{one.port}" for one in there],
        "redis": engine.url,
        "healthCheckInterval": "1s",
        "passiveHealth": {"failures": 3},
    }
    with Balancer(config, workers=WORKERS) as balancer:
        fleet = Fleet(balancer, there)
        fleet.reset()
        fleet.wait_workers(WORKERS)
        yield fleet
        fleet.wait_idle()
        assert PASSWORD not in unquote(balancer.log)


@contextmanager
def light_load(fleet: Fleet) -> Iterator[Load]:
    """A few clients, from when they get answers on; none of their requests may fail. Idle in the end."""
    fleet.behave(unhurriedly)
    with fleet.load(connections=8) as load:
        flows(load)
        yield load
    assert load.errors == []
    fleet.behave(ok)
    fleet.wait_idle()


def flows(load: Load) -> None:
    """Wait until the clients have got on."""
    flowed = len(load.outcomes)
    eventually(lambda: len(load.outcomes) > flowed + 50, what="requests that flow")


def unhurriedly(request: Request) -> bytes:
    """Answer such that a few clients are a light load."""
    threading.Event().wait(0.02)
    return ok(request)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Sentinel, Cluster, SingleTls])
def test_the_primary_is_killed_under_load(kind: type[Engine], three: list[HttpServer]) -> None:
    """What operators did is still there, no request failed, and the promises hold again.

    Nothing that was counted is lost, of this run or of one that ended: a replica has it, or it is put back.
    """
    with kind() as engine:
        with balancing(engine, three) as fleet:
            counted = rotates_exactly(fleet)
            assert eventually(lambda: figures.answered(fleet.balancer) == counted)
        with balancing(engine, three) as fleet:
            counted += rotates_exactly(fleet)
            fleet.pool.set_weight(fleet.ids[0], 2, "test")
            with light_load(fleet) as load:
                engine.fail_over()
                eventually(lambda: all_registered(fleet), seconds=20, what="workers that registered")
                flows(load)
            counted += len(load.outcomes)
            assert {one.server.id: one.server.weight for one in fleet.pool.list()}[fleet.ids[0]] == 2
            assert fleet.ids[0] in fleet.admin("list")
            assert eventually(lambda: figures.total(fleet.balancer, "lb_store_up") == 1, seconds=30)
            assert eventually(lambda: figures.answered(fleet.balancer) == counted, seconds=30)
            fleet.reset()
            the_promises_hold(fleet)


@pytest.mark.slow
def test_a_change_that_no_replica_got_is_put_back_by_the_workers(three: list[HttpServer]) -> None:
    with Sentinel() as engine, balancing(engine, three) as fleet:
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
def test_a_pool_moves_to_another_node_of_the_cluster_under_load(
    kind: type[Cluster], three: list[HttpServer]
) -> None:
    """Workers pick locally while its keys are at two places, and go on together at the new one."""
    with kind() as engine, balancing(engine, three) as fleet:
        before = engine.primary()
        with light_load(fleet):
            engine.reshard(seconds=2)
            eventually(lambda: all_registered(fleet), seconds=20, what="workers that registered")
            eventually(lambda: backs(fleet.balancer.log) >= WORKERS, seconds=20, what="recovery")
        assert engine.primary() is not before
        fleet.reset()
        rotates_exactly(fleet)


@pytest.mark.slow
def test_a_store_that_reads_its_file_for_long_costs_no_request(three: list[HttpServer]) -> None:
    with Single() as engine, balancing(engine, three) as fleet:
        for number in range(200):
            engine.server.client.set(f"other:{number}", "x" * 2000)
        fleet.pool.set_weight(fleet.ids[0], 2, "test")
        engine.server.client.save()
        with light_load(fleet):
            engine.server.kill()
            engine.server.start()
            eventually(lambda: backs(fleet.balancer.log) == WORKERS, seconds=20, what="recovery")
        assert "is still loading its data" in fleet.balancer.log
        assert {one.server.id: one.server.weight for one in fleet.pool.list()}[fleet.ids[0]] == 2
        fleet.reset()
        rotates_exactly(fleet)


@pytest.mark.slow
def test_a_store_that_refuses_costs_no_request_and_is_told_why(three: list[HttpServer]) -> None:
    """Each time all workers pick locally, and go on together when it is over."""
    with Single() as engine, balancing(engine, three) as fleet:
        server = engine.server.client
        causes = (
            ("OOM command not allowed", ("maxmemory", 1), ("maxmemory", 0)),
            ("READONLY You can't write", ("127.0.0.1", 1), ("NO", "ONE")),
            ("refuses the user name or password", ("resetpass", ">new"), (f">{PASSWORD}", "<new")),
            ("does not allow this user all", ("-script|load",), ("+script|load",)),
        )
        acts = (server.config_set, server.replicaof, engine.acl, engine.acl)
        with light_load(fleet):
            for (told, broken, whole), act in zip(causes, acts, strict=True):
                before = len(fleet.balancer.log)
                act(*broken)
                eventually(lambda: fleet.balancer.log[before:].count(told) >= WORKERS, seconds=10, what=told)  # noqa: B023
                act(*whole)
                eventually(lambda: backs(fleet.balancer.log[before:]) == WORKERS, seconds=10, what="recovery")  # noqa: B023
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


def rotates_exactly(fleet: Fleet) -> int:
    """Send requests, and check that each server gets the same share; return how many."""
    with fleet.load(total=300, connections=6) as load:
        load.join()
    assert load.errors == []
    assert shares(load.outcomes) == dict.fromkeys(fleet.ids, 100)
    return len(load.outcomes)


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
        eventually(lambda: sum(fleet.connections().values()) == left, seconds=10, what="no ghosts")
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
