from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lb.model import Admin, Source


def error_of(response):
    assert response.is_json
    assert set(response.json) == {"error", "status"}
    assert response.json["status"] == response.status_code
    return response.json["error"]


def test_servers_with_live_figures_in_pool_order(client, add):
    add("http://localhost:5002")
    add("http://localhost:5001", weight=3)
    first, second = client.get("/servers").json

    assert [first["id"], second["id"]] == ["localhost:5002", "localhost:5001"]
    assert first["connections"] == first["failures"] == 0
    assert second["weight"] == 3


def test_added_server_is_told_with_its_place(client, pool):
    response = client.post("/servers", json={"url": "http://localhost:5001", "weight": 2})

    assert response.status_code == 201
    assert response.json["id"] == "localhost:5001"
    assert response.json["weight"] == 2
    [status] = pool.list()
    assert status.server.source is Source.ADMIN
    assert client.get(response.headers["Location"]).json["id"] == "localhost:5001"


def test_place_of_an_ipv6_server_is_a_path(client):
    response = client.post("/servers", json={"url": "http://[::1]:5001"})

    assert client.get(response.headers["Location"]).json["id"] == "[::1]:5001"


def test_events_name_the_client(client, pool):
    client.post("/servers", json={"url": "http://localhost:5001"})

    assert pool.events()[-1].by == "api (127.0.0.1)"


def test_server_that_is_there_is_a_conflict(client, add):
    add()
    response = client.post("/servers", json={"url": "http://localhost:5001"})

    assert response.status_code == 409
    assert error_of(response) == "localhost:5001 is in the pool already"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "field 'url' is missing"),
        ({"url": 1}, "field 'url': input should be a valid string"),
        ({"url": "localhost:5001"}, 'did you mean "http://localhost:5001"?'),
        ({"url": "http://a:1", "weight": "3"}, "field 'weight': input should be a valid integer"),
        ({"url": "http://a:1", "weight": True}, "field 'weight': input should be a valid integer"),
        ({"url": "http://a:1", "weight": 0}, "field 'weight': input should be greater than or equal to 1"),
        ({"url": "http://a:1", "wieght": 3}, "unknown field 'wieght', known are: url, weight"),
        ([], "the body must be a JSON object with the fields: url, weight"),
        ("null", "the body must be a JSON object with the fields: url, weight"),
    ],
)
def test_wrong_body_is_refused_with_the_reason(client, pool, body, message):
    response = client.post("/servers", json=body)

    assert response.status_code == 400
    assert message in error_of(response)
    assert pool.list() == []


@pytest.mark.parametrize("body", [b"", b"{", b"url=http://a:1", b"\xff\xfe", b"[" * 50_000])
def test_body_that_is_not_json(client, body):
    response = client.post("/servers", data=body, content_type="application/json")

    assert response.status_code == 400
    assert error_of(response).startswith("the body is not JSON: ")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_body_that_does_not_say_that_it_is_json(client, content_type):
    response = client.post("/servers", data=b'{"url": "http://a:1"}', content_type=content_type)

    assert response.status_code == 415
    assert "Content-Type: application/json" in error_of(response)


def test_too_large_body(client):
    response = client.post("/servers", json={"url": "x" * 70_000})

    assert response.status_code == 413
    assert error_of(response) == "the body has more than 65536 bytes"


@pytest.mark.parametrize("name", ["localhost:5001", "http:%2F%2Flocalhost:5001", "LOCALHOST:5001"])
def test_server_by_id_or_url(client, add, name):
    add()

    assert client.get(f"/servers/{name}").json["url"] == "http://localhost:5001"


def test_unknown_server(client):
    for response in (
        client.get("/servers/localhost:5001"),
        client.patch("/servers/localhost:5001", json={"weight": 2}),
        client.delete("/servers/localhost:5001"),
        client.post("/removed/localhost:5001/restore", json={}),
    ):
        assert response.status_code == 404
        assert "localhost:5001" in error_of(response)


def test_what_cannot_be_a_server(client):
    assert client.get("/servers/a b").status_code == 400
    assert client.delete("/servers/%00").status_code == 400


def test_operators_wish_and_weight_are_changed(client, pool, add):
    add()
    response = client.patch("/servers/localhost:5001", json={"admin": "drain", "weight": 7})

    assert (response.json["admin"], response.json["weight"]) == ("drain", 7)
    [status] = pool.list()
    assert (status.server.admin, status.server.weight) == (Admin.DRAIN, 7)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"admin": "off"}, "field 'admin': input should be 'ready', 'drain' or 'maint'"),
        ({"weight": 257}, "field 'weight'"),
        ({"health": "up"}, "unknown field 'health', known are: admin, weight"),
        ({"admin": None, "weight": 2}, "field 'admin': null is no change"),
        ({"weight": 2.5}, "field 'weight': input should be a valid integer"),
        ({}, "nothing to change"),
    ],
)
def test_wrong_change_is_refused_and_changes_nothing(client, pool, add, body, message):
    add()
    before = pool.snapshot()
    response = client.patch("/servers/localhost:5001", json=body)

    assert response.status_code == 400
    assert message in error_of(response)
    assert pool.snapshot() == before


def test_a_whole_number_may_be_written_with_a_point(client, add):
    """To JSON, 3.0 is an integer."""
    add()
    response = client.patch(
        "/servers/localhost:5001", data=b'{"weight": 3.0}', content_type="application/json"
    )

    assert (response.status_code, response.json["weight"]) == (200, 3)


def test_restore_takes_nothing(client, add):
    add()
    client.delete("/servers/localhost:5001")
    refused = client.post("/removed/localhost:5001/restore", json={"weight": 3})

    assert refused.status_code == 400
    assert error_of(refused) == "unknown field 'weight', known are: none"
    assert client.post("/removed/localhost:5001/restore", content_type="application/json").status_code == 200


def test_removed_server_is_listed_and_restored(client, pool, add):
    add(weight=5)
    response = client.delete("/servers/localhost:5001")
    assert (response.status_code, response.data) == (204, b"")
    assert pool.list() == []

    [removed] = client.get("/removed").json
    assert (removed["id"], removed["weight"]) == ("localhost:5001", 5)

    restored = client.post("/removed/localhost:5001/restore", json={})
    assert (restored.status_code, restored.json["weight"]) == (200, 5)
    assert [status.server.id for status in pool.list()] == ["localhost:5001"]


# --- what the API's description cannot tell: test_contract.py has the rest


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(url=st.text(max_size=40) | st.from_regex(r"http://[^/]{0,20}(:\d{0,7})?/?", fullmatch=True))
def test_no_url_is_the_apis_own_failure(client, url):
    assert client.post("/servers", json={"url": url}).status_code in {201, 400, 409}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=st.binary(max_size=60))
def test_no_bytes_are_the_apis_own_failure(client, body):
    response = client.post("/servers", data=body, content_type="application/json")

    assert response.status_code == 400
    assert response.is_json
