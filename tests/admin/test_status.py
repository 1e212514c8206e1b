from __future__ import annotations

import re
import time

from lb.model import Admin, Health, WorkerId
from lb.store.fleet import Fleet
from lb.store.session import Session


def facts(out: str) -> dict[str, str]:
    lines = out.partition("\n\n")[0].splitlines()
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in lines)


def join(connection, keys, worker: str, host: str, **held: int) -> None:
    flat = [part for server, count in held.items() for part in (server.replace("_", ":"), count)]
    own = {"worker": keys.worker(WorkerId(worker)), "worker_connections": keys.worker_connections(worker)}
    Session(connection, keys).run("register", worker, host, 1, time.time(), 1, *flat, **own)


def test_the_balancer_in_a_few_facts(run, pool, add, store_url):
    pool.set_strategy("random", "test")
    add("http://localhost:5001")
    add("http://localhost:5002")
    pool.set_admin("localhost:5002", Admin.DRAIN, "test")
    pool.lead("checker-1", 5)

    assert {
        "store": f"reachable, {store_url}",
        "strategy": "random",
        "pool version": str(pool.version()),
        "servers": "1 of 2 eligible",
        "connections": "0",
        "workers": "0",
        "health-checker": "checker-1",
    } == facts(run("status").out)


def test_why_a_server_is_down(run, pool, add):
    for port in (5001, 5002, 5003):
        add(f"http://localhost:{port}")
    pool.set_health("localhost:5002", Health.DOWN, "check: status 500 (expected 200-499)", "test")
    assert facts(run("status").out)["down"] == "localhost:5002, check: status 500 (expected 200-499)"
    pool.set_health("localhost:5003", Health.DOWN, "check: connection refused", "test")
    assert facts(run("status").out)["down"].endswith("(expected 200-499); 1 more: see lb-admin list")


def test_a_pool_that_fails_open_says_so(run, pool, add):
    add("http://localhost:5001")
    pool.set_health("localhost:5001", Health.DOWN, "check: status 401", "test")

    shown = facts(run("status").out)["servers"]
    assert shown == "0 of 1 eligible, failing open: requests go to all that are ready"
    listed = run("list")
    assert listed.status == 0
    assert "warning: no server is up, failing open: requests go to all that are ready" in listed.err
    assert run("status", "--json").json["failOpen"] is True


def test_workers_by_host(run, add, connection, keys):
    add()
    join(connection, keys, "east-1-a", "east", localhost_5001=2)
    join(connection, keys, "west-1-a", "west", localhost_5001=1)
    join(connection, keys, "east-2-b", "east", localhost_5001=1)
    outcome = run("status")

    assert (facts(outcome.out)["workers"], facts(outcome.out)["connections"]) == ("3", "4")
    table = [line.split() for line in outcome.out.partition("\n\n")[2].splitlines()]
    assert [row[:4] for row in table[1:]] == [["east", "2", "3", "now"], ["west", "1", "1", "now"]]


def test_degraded_workers_stand_out(run, add, connection, keys):
    add()
    fleet = Fleet(connection, keys)
    for worker, host in (("east-1-a", "east"), ("east-2-b", "east"), ("west-1-a", "west")):
        join(connection, keys, worker, host)
    fleet.heartbeat("east-1-a", 1, 3, (time.time() - 65, None))
    fleet.heartbeat("west-1-a", 1, 3, (time.time() - 65, time.time() - 5))
    table = [re.split(r" {2,}", line.strip()) for line in run("status").out.partition("\n\n")[2].splitlines()]
    assert [row[-1] for row in table[1:]] == ["1 of 2, began 1m ago", "ended 5s ago"]


def test_json(run, pool, add, connection, keys):
    add()
    pool.set_strategy("random", "test")
    join(connection, keys, "east-1-a", "east", localhost_5001=2)
    status = run("status", "--json").json

    [worker] = status.pop("workers")
    assert {"id", "host", "pid", "started", "heartbeat", "version", "connections"} < set(worker)
    assert (worker["degradedSince"], worker["degradedUntil"]) == (None, None)
    assert status.pop("rates") is None
    assert {
        "strategy": "random",
        "version": pool.version(),
        "failOpen": False,
        "servers": {"total": 1, "eligible": 1},
        "connections": 2,
        "healthChecker": None,
        "store": {"reachable": True},
    } == status


def test_empty_store(run):
    outcome = run("status")

    assert outcome.status == 0
    assert facts(outcome.out)["servers"] == "0 of 0 eligible"
    assert facts(outcome.out)["health-checker"] == "none"
