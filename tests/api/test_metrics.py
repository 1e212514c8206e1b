from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

import pytest
from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from lb import config
from lb.api.access import Access
from lb.api.app import create_app
from lb.api.counted import Counted
from lb.errors import StoreUnavailableError
from lb.metrics import scoreboard
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard
from lb.model import Admin, Check, Health, ServerId
from lb.store.client import open_fleet, open_metrics, open_pool
from lb.store.metrics import Metrics, Publisher
from tests.store.acts import Worker

ONE = ServerId("localhost:5001")
GUIDE = (files("lb") / "docs" / "metrics.md").read_text()
#: Name, type and labels of each row of the guide's tables.
LISTED = {
    name: (kind, tuple(re.findall(r"`(\w+)`", labels)))
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \|(.*?)\| ", GUIDE, re.MULTILINE)
}


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    fd = scoreboard.create("web1")
    board = Scoreboard(fd)
    board.grant(0)
    yield board
    os.close(fd)


@pytest.fixture
def meters(board: Scoreboard) -> Meters:
    return Meters(board, 0)


@pytest.fixture
def counted(connection, keys, board) -> Counted:
    metrics = Metrics(connection, keys)
    return Counted(metrics, Publisher(metrics, board))


def families(client: FlaskClient) -> Mapping[str, Metric]:
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    found = {}
    for family in text_string_to_metric_families(response.text):
        found[family.name + "_total" * (family.type == "counter")] = family
    return found


def samples(client: FlaskClient, family: str) -> dict[str, float]:
    """Return the samples of a family by their labels, as in `localhost:5001 2xx`."""
    return {
        " ".join([one.name.removeprefix(family), *_values(one.labels)]).strip(): one.value
        for one in families(client)[family].samples
    }


def _values(labels: Mapping[str, str]) -> list[str]:
    """Return a sample's labels, its server first."""
    return [labels[name] for name in sorted(labels, reverse=True)]


@pytest.fixture
def busy(pool, add, meters) -> None:
    """A balancer that has something to tell by every name."""
    add()
    pool.record_check(ONE, Check(passed=True, answered=True, detail="200 OK", duration_seconds=0.0125))
    meters.answered(ONE, 200, 0.003)


def test_the_guide_lists_what_is_exposed_and_nothing_else(client, busy, worker):
    found = families(client)
    assert set(found) == set(LISTED)
    for name, family in found.items():
        kind, labels = LISTED[name]
        assert family.type == kind
        [exposed] = {tuple(label for label in one.labels if label != "le") for one in family.samples}
        assert (name, set(exposed)) == (name, set(labels))
        assert family.documentation.endswith(".")


@pytest.fixture
def worker(connection, keys):
    return Worker(connection, keys, "web1-4711-9f3c")


def test_requests_by_server_and_status_class(client, add, meters):
    add()
    for status, seconds in ((200, 0.003), (204, 0.3), (502, 0.003), (101, 99.0)):
        meters.answered(ONE, status, seconds)
    meters.answered(ServerId(""), 503, 0.0)
    assert samples(client, "lb_requests_total") == {
        **{f"- {code}": 0 for code in ("2xx", "3xx", "4xx")},
        "- 5xx": 1,
        f"{ONE} 1xx": 1,
        f"{ONE} 2xx": 2,
        f"{ONE} 3xx": 0,
        f"{ONE} 4xx": 0,
        f"{ONE} 5xx": 1,
    }
    latency = samples(client, "lb_request_duration_seconds")
    assert latency[f"_count {ONE}"] == latency[f"_bucket {ONE} +Inf"] == 4
    assert latency[f"_sum {ONE}"] == pytest.approx(99.306)
    assert [latency[f"_bucket {ONE} {bound}"] for bound in ("0.0025", "0.005", "0.25", "0.5", "60")] == [
        0,
        2,
        2,
        3,
        3,
    ]


def test_what_happens_to_servers(client, add, meters):
    add()
    meters.retried(ONE)
    meters.cut(ONE)
    meters.ejected(ONE)
    meters.client_gone(ServerId(""))
    for name, server in (
        ("retries", ONE),
        ("responses_cut", ONE),
        ("server_ejections", ONE),
        ("clients_gone", "-"),
    ):
        counted = samples(client, f"lb_{name}_total")
        assert {key: count for key, count in counted.items() if count} == {server: 1}


def test_servers_as_the_pool_has_them(client, add, pool):
    one, two, three = (add(f"http://localhost:{port}", weight=port - 5000).id for port in (5001, 5002, 5003))
    pool.set_admin(two, Admin.MAINT, "test")
    pool.set_health(two, Health.DOWN, "connection refused", "test")
    pool.set_health(three, Health.DOWN, "connection refused", "test")
    assert samples(client, "lb_server_up") == {one: 1, two: 0, three: 0}
    assert samples(client, "lb_server_eligible") == {one: 1, two: 0, three: 0}
    assert samples(client, "lb_server_weight") == {one: 1, two: 2, three: 3}
    assert samples(client, "lb_servers") == {"eligible": 1, "down": 1, "drain": 0, "maint": 1}
    assert samples(client, "lb_pool_version") == {"": pool.version()}
    assert samples(client, "lb_strategy_info") == {pool.snapshot().strategy: 1}


def test_a_server_that_left_keeps_its_counts(client, add, pool, meters):
    add()
    meters.answered(ONE, 200, 0.003)
    pool.remove(ONE, "test")
    assert samples(client, "lb_requests_total")[f"{ONE} 2xx"] == 1
    assert samples(client, "lb_server_up") == {}


DAY = 86400


@pytest.mark.parametrize("how", ["by an operator", "by the config"])
def test_series_of_a_server_end_a_day_after_it_left_and_its_sums_do_not(
    client, add, pool, meters, connection, keys, how
):
    add("http://localhost:5002")
    if how == "by the config":
        pool.reconcile([config.parse_server_url("http://localhost:5001")], "random", "test")
        pool.reconcile([], "random", "test")
    else:
        add()
        pool.remove(ONE, "test")
    meters.answered(ONE, 200, 0.003)
    meters.answered(ONE, 502, 0.003)
    meters.retried(ONE)
    counted = sum(samples(client, "lb_requests_total").values())
    assert samples(client, "lb_requests_total")[f"{ONE} 2xx"] == 1
    days_pass(connection, keys, 1.1)

    requests = samples(client, "lb_requests_total")
    assert not [name for name in requests if name.startswith(ONE)]
    assert (requests["removed 2xx"], requests["removed 5xx"]) == (1, 1)
    assert sum(requests.values()) == counted
    assert samples(client, "lb_request_duration_seconds")["_count removed"] == 2
    assert samples(client, "lb_retries_total")["removed"] == 1
    add()  # it comes back, with all that it did
    assert samples(client, "lb_requests_total")[f"{ONE} 2xx"] == 1
    assert "removed 2xx" not in samples(client, "lb_requests_total")


def test_they_do_not_come_back_while_the_store_is_away(
    client, counted, add, pool, meters, connection, keys, monkeypatch
):
    def away() -> None:
        raise StoreUnavailableError("away")

    add("http://localhost:5002")
    add()
    meters.answered(ONE, 200, 0.003)
    pool.remove(ONE, "test")
    days_pass(connection, keys, 2)
    assert samples(client, "lb_requests_total")["removed 2xx"] == 1
    monkeypatch.setattr(counted, "look", away)
    assert samples(client, "lb_requests_total")["removed 2xx"] == 1


def test_a_pool_without_servers_ends_nothing(client, add, pool, meters, connection, keys):
    """It may be one that workers are about to put back."""
    add()
    meters.answered(ONE, 200, 0.003)
    pool.remove(ONE, "test")
    days_pass(connection, keys, 2)
    assert samples(client, "lb_requests_total")[f"{ONE} 2xx"] == 1


def days_pass(connection, keys, days: float) -> None:
    """Make all that the store remembers of removals so much older."""
    for server, at in connection.zrange(keys.removed, 0, -1, withscores=True):
        connection.zadd(keys.removed, {server: at - days * DAY})
    events = connection.xrange(keys.events)
    connection.delete(keys.events)
    for name, fields in events:
        connection.xadd(keys.events, fields, id=f"{int(int(name.split('-')[0]) - days * DAY * 1000)}-*")


def test_the_balancer_itself(client, meters, pool):
    meters.clients = 3
    meters.accepted()
    meters.batch(5, 0.0004)
    meters.batch(1, 0.002)
    assert samples(client, "lb_client_connections") == {"web1": 3}
    assert samples(client, "lb_accepted_connections_total") == {"web1": 1}
    sizes, trips = samples(client, "lb_lease_batch_size"), samples(client, "lb_store_round_trip_seconds")
    assert (sizes["_bucket 1"], sizes["_bucket 8"], sizes["_count"], sizes["_sum"]) == (1, 2, 2, 6)
    assert (trips["_bucket 0.0005"], trips["_count"], trips["_sum"]) == (1, 2, pytest.approx(0.0024))
    assert samples(client, "lb_store_up") == {"": 1}
    assert samples(client, "lb_health_checker_leader") == {"": 0}
    pool.lead("checker-1", 5)
    assert samples(client, "lb_health_checker_leader") == {"": 1}


@pytest.fixture
def lost(keys, board) -> FlaskClient:
    """An API that was started while the store is away."""
    url = "redis://127.0.0.1:1/0"
    metrics = open_metrics(url, keys)
    counted = Counted(metrics, Publisher(metrics, board))
    return create_app(open_pool(url, keys), open_fleet(url, keys), Access(), counted).test_client()


def test_who_never_heard_of_the_others_tells_no_sums(lost, meters):
    meters.answered(ONE, 200, 0.003)
    assert {family.type for family in families(lost).values()} == {"gauge"}


def test_without_the_store_a_host_tells_what_it_knows(client, counted, meters, monkeypatch):
    def away() -> None:
        raise StoreUnavailableError("away")

    counted.look()
    monkeypatch.setattr(counted, "look", away)
    meters.answered(ONE, 200, 0.003)
    assert samples(client, "lb_requests_total")[f"{ONE} 2xx"] == 1


def test_without_the_store_a_host_tells_the_state_of_its_own(lost, meters):
    client = lost
    meters.degraded(True)
    assert samples(client, "lb_store_up") == {"": 0}
    assert samples(client, "lb_workers") == samples(client, "lb_workers_degraded") == {"web1": 1}
    assert "lb_server_up" not in families(client)


def test_the_token_is_asked_for_as_for_any_read(pool, fleet, counted):
    access = Access(token="correct-horse-battery", read_token="look-but-do-not-touch")
    client = create_app(pool, fleet, access, counted).test_client()
    assert client.get("/metrics").status_code == 401
    bearer = {"Authorization": "Bearer look-but-do-not-touch"}
    assert client.get("/metrics", headers=bearer).status_code == 200
