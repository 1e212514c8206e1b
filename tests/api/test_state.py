from __future__ import annotations

import time

import pytest

from lb.api.access import Access
from lb.api.app import create_app
from lb.api.counted import Counted
from lb.model import Health, WorkerId
from lb.store.client import open_fleet, open_metrics, open_pool
from lb.store.session import Session


@pytest.fixture
def worker(connection, keys):
    """A worker with two requests in flight to localhost:5001."""
    worker = WorkerId("host-1-abc")
    own = {"worker": keys.worker(worker), "worker_connections": keys.worker_connections(worker)}
    Session(connection, keys).run("register", worker, "host", 1, time.time(), 1, "localhost:5001", 2, **own)


@pytest.fixture
def cut_off(keys):
    """The API over a store that is not there."""
    url = "redis://user:secret@127.0.0.1:1/0"
    counted = Counted(open_metrics(url, keys))
    return create_app(open_pool(url, keys), open_fleet(url, keys), Access(), counted).test_client()


def test_status(client, pool, add, worker):
    add()
    pool.lead("checker-1", 5)
    status = client.get("/status").json

    assert set(status.pop("rates")) == {"windowSeconds", "total", "servers"}
    assert len(status.pop("workers")) == 1
    assert status == {
        "strategy": pool.snapshot().strategy,
        "version": pool.version(),
        "servers": {"total": 1, "eligible": 1},
        "failOpen": False,
        "connections": 2,
        "healthChecker": "checker-1",
        "store": {"reachable": True},
    }


def test_status_says_that_the_pool_fails_open(client, pool, add):
    add()
    pool.set_health("localhost:5001", Health.DOWN, "check: status 401", "test")
    status = client.get("/status").json

    assert (status["servers"], status["failOpen"]) == ({"total": 1, "eligible": 0}, True)


def test_workers(client, add, worker):
    add()
    [shown] = client.get("/workers").json

    assert shown["id"] == "host-1-abc"
    assert (shown["host"], shown["pid"], shown["connections"]) == ("host", 1, 2)
    assert abs(shown["heartbeat"] - time.time()) < 60


def test_events(client, add):
    for port in (5001, 5002, 5003):
        add(f"http://localhost:{port}")
    events = client.get("/events?count=2").json

    assert [event["server"] for event in events] == ["localhost:5002", "localhost:5003"]
    assert client.get(f"/events?after={events[0]['id']}").json == events[1:]


def test_events_are_paged_through_from_a_known_one_on(client, add):
    """None is left out, and the end is an empty page."""
    for port in range(5001, 5008):
        add(f"http://localhost:{port}")
    first, *rest = client.get("/events").json
    read, after = [], first["id"]
    while page := client.get(f"/events?count=3&after={after}").json:
        read += page
        after = page[-1]["id"]

    assert read == rest
    assert len(read) >= 6
    assert client.get("/events?after=0&count=1").json == [first]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("count=0", "field 'count'"),
        ("count=1001", "field 'count'"),
        ("count=many", "field 'count': input should be a valid integer"),
        ("after=yesterday", "field 'after'"),
        ("after=99999999999999999999", "field 'after'"),
        ("limit=3", "unknown field 'limit', known are: count, after"),
    ],
)
def test_wrong_query_is_refused_with_the_reason(client, query, message):
    response = client.get(f"/events?{query}")

    assert response.status_code == 400
    assert message in response.json["error"]


def test_health(client):
    response = client.get("/health")

    assert (response.status_code, response.json) == (200, {"healthy": True, "store": {"reachable": True}})


def test_health_without_the_store(cut_off):
    response = cut_off.get("/health")

    assert (response.status_code, response.json) == (503, {"healthy": False, "store": {"reachable": False}})


@pytest.mark.parametrize(
    "path", ["/servers", "/servers/a:1", "/removed", "/strategy", "/status", "/workers", "/events"]
)
def test_without_the_store_every_look_is_503(cut_off, path):
    response = cut_off.get(path)

    assert response.status_code == 503
    assert "127.0.0.1:1" in response.json["error"]
    assert "secret" not in response.text


def test_without_the_store_every_act_is_503(cut_off):
    for response in (
        cut_off.post("/servers", json={"url": "http://a:1"}),
        cut_off.patch("/servers/a:1", json={"weight": 1}),
        cut_off.delete("/servers/a:1"),
        cut_off.put("/strategy", json={"strategy": "random"}),
        cut_off.post("/removed/a:1/restore", json={}),
    ):
        assert (response.status_code, response.json["status"]) == (503, 503)
