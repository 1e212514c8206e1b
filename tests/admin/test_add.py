from __future__ import annotations

import getpass
import socket

from lb.model import Admin, Health, Source


def test_added_server_is_in_the_pool_as_an_operators(run, pool):
    outcome = run("add", "http://localhost:5001")

    assert (outcome.status, outcome.out) == (0, "localhost:5001 added, weight 1\n")
    [status] = pool.list()
    assert (status.server.url, status.server.source) == ("http://localhost:5001", Source.ADMIN)
    assert (status.server.admin, status.server.health) == (Admin.READY, Health.UP)


def test_the_event_names_who_added(run, pool):
    run("add", "http://localhost:5001")

    [event] = [event for event in pool.events() if event.kind == "added"]
    assert f"lb-admin ({getpass.getuser()}@{socket.gethostname()})" == event.by


def test_a_user_without_a_name_is_named_by_number(run, pool, monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    run("add", "http://localhost:5001")

    assert "uid " in pool.events()[-1].by


def test_weight_is_for_every_url(run, pool):
    run("add", "http://localhost:5001", "http://localhost:5002", "--weight", "3")

    assert [status.server.weight for status in pool.list()] == [3, 3]


def test_one_refused_url_does_not_stop_the_others(run, pool, add):
    add("http://localhost:5001")
    outcome = run("add", "http://localhost:5001", "http://localhost:5002")

    assert outcome.status == 1
    assert outcome.out == "localhost:5002 added, weight 1\n"
    assert outcome.err.startswith("lb-admin: error: localhost:5001 is in the pool already\n")
    assert [status.server.id for status in pool.list()] == ["localhost:5001", "localhost:5002"]


def test_malformed_url_is_wrong_usage_and_nothing_is_added(run, pool):
    outcome = run("add", "http://localhost:5001", "localhost:5002")

    assert outcome.status == 2
    assert 'did you mean "http://localhost:5002"?' in outcome.err
    assert pool.list() == []


def test_weight_out_of_range_is_wrong_usage(run):
    for weight in ("0", "257", "much"):
        assert run("add", "http://localhost:5001", "--weight", weight).status == 2


def test_no_url_is_wrong_usage(run):
    assert run("add").status == 2


def test_json_is_the_added_servers(run):
    outcome = run("add", "http://localhost:5001", "http://[::1]:5002", "--weight", "2", "--json")

    first, second = outcome.json
    assert first.pop("since") > 0
    assert first == {
        "id": "localhost:5001",
        "url": "http://localhost:5001",
        "weight": 2,
        "admin": "ready",
        "health": "up",
        "eligible": True,
        "reason": "",
        "source": "admin",
    }
    assert second["id"] == "[::1]:5002"


def test_a_pool_that_no_balancer_uses_is_told_of(run, connection, keys):
    assert (
        f'no worker is in the pool "default" (keyPrefix "{keys.prefix}")'
        in run("add", "http://localhost:5001").err
    )

    connection.zadd(keys.workers, {"web1-1-aa": 1.0})
    connection.hset(keys.worker("web1-1-aa"), mapping={"host": "web1", "pid": 1, "started": 1, "version": 1})
    assert run("add", "http://localhost:5002").err == ""
