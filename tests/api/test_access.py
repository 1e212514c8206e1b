from __future__ import annotations

import pytest

from lb.api.access import Access, host_name
from lb.api.app import create_app

TOKEN = "correct horse battery"


@pytest.fixture
def guarded(pool, fleet, counted):
    return create_app(pool, fleet, Access(token=TOKEN, listen_host="0.0.0.0"), counted).test_client()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer("wrong"),
        bearer(TOKEN + "x"),
        bearer("\N{LATIN SMALL LETTER E WITH ACUTE}"),
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
    ],
)
def test_without_the_token_nothing_is_told_or_changed(guarded, pool, headers):
    read = guarded.get("/servers", headers=headers)
    write = guarded.post("/servers", json={"url": "http://a:1"}, headers=headers)

    for response in (read, write, guarded.get("/nothing", headers=headers)):
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert TOKEN not in response.text
    assert pool.list() == []


def test_with_the_token_from_anywhere(guarded):
    response = guarded.post(
        "/servers",
        json={"url": "http://a:1"},
        headers={**bearer(TOKEN), "Host": "balancer.example:8081", "Origin": "https://balancer.example"},
    )

    assert response.status_code == 201
    assert guarded.get("/servers", headers={"Authorization": f"bearer  {TOKEN}"}).status_code == 200


def test_a_read_only_token_reads_and_changes_nothing(pool, fleet, counted, add):
    add()
    access = Access(token=TOKEN, read_token="look-but-do-not-touch")
    client = create_app(pool, fleet, access, counted).test_client()
    reader = bearer("look-but-do-not-touch")

    assert client.get("/servers", headers=reader).status_code == 200
    for response in (
        client.delete("/servers/localhost:5001", headers=reader),
        client.post("/servers", json={"url": "http://a:1"}, headers=reader),
        client.patch("/servers/localhost:5001", json={"weight": 2}, headers=reader),
    ):
        assert response.status_code == 403
        assert "may only read" in response.json["error"]
    assert [status.server.weight for status in pool.list()] == [1]
    assert client.get("/servers").status_code == 401
    assert client.delete("/servers/localhost:5001", headers=bearer(TOKEN)).status_code == 204


def test_health_needs_no_token(guarded):
    assert guarded.get("/health").status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8081", "127.0.0.1:8081", "127.1.2.3", "[::1]:8081", "LOCALHOST"]
)
def test_this_machine_needs_no_token(client, host):
    assert client.get("/servers", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["attacker.example", "localhost.a.example", "10.0.0.1", "", "[::1", "a@b"])
def test_a_name_that_was_bound_to_this_machine_is_refused(client, host):
    for path in ("/servers", "/health"):
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 403
        assert "Host header" in response.json["error"]


def test_the_address_that_it_listens_on_is_a_good_host(pool, fleet, counted):
    client = create_app(pool, fleet, Access(listen_host="10.0.0.1"), counted).test_client()

    assert client.get("/servers", headers={"Host": "10.0.0.1:8081"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://a.example", "http://localhost:3000", "null", "http://[", ""])
def test_another_sites_page_may_not_write(client, pool, origin):
    headers = {"Host": "localhost:8081", "Origin": origin}
    for response in (
        client.post("/servers", json={"url": "http://a:1"}, headers=headers),
        client.delete("/servers/a:1", headers=headers),
    ):
        assert response.status_code == 403
    assert pool.list() == []
    assert client.get("/servers", headers=headers).status_code == 200


def test_a_page_of_the_api_itself_may_write(client):
    headers = {"Host": "localhost:8081", "Origin": "http://localhost:8081"}

    assert client.post("/servers", json={"url": "http://a:1"}, headers=headers).status_code == 201


def test_a_write_that_a_form_could_send_is_refused(client, pool, add):
    """Without JSON's content type a browser sends it for any page, without asking first."""
    add()
    pool.remove("localhost:5001", "test")

    assert client.post("/removed/localhost:5001/restore").status_code == 415
    assert pool.list() == []


@pytest.mark.parametrize(
    ("netloc", "expected"),
    [("a:1", "a"), ("[::1]:8081", "::1"), ("A", "a"), ("[::1", ""), ("", ""), (":80", "")],
)
def test_host_name(netloc, expected):
    assert host_name(netloc) == expected
