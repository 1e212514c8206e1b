from __future__ import annotations

import pytest


@pytest.mark.parametrize("path", ["/servers", "/servers/localhost:5001", "/removed", "/strategy", "/status"])
def test_reads_tell_the_pools_version(client, add, pool, path):
    add()

    assert client.get(path).headers["ETag"] == f'"{pool.version()}"'


def acts(client, headers):
    """Each write, one after the other on the same server."""
    yield client.post("/servers", json={"url": "http://localhost:5002"}, headers=headers)
    yield client.patch("/servers/localhost:5001", json={"weight": 2}, headers=headers)
    yield client.put("/strategy", json={"strategy": "random"}, headers=headers)
    yield client.delete("/servers/localhost:5001", headers=headers)
    yield client.post("/removed/localhost:5001/restore", json={}, headers=headers)


def test_a_write_on_what_was_seen_is_done(client, add):
    add()
    statuses = []
    headers = {"If-Match": client.get("/servers").headers["ETag"]}
    for response in acts(client, headers):
        statuses.append(response.status_code)
        headers["If-Match"] = client.get("/status").headers["ETag"]  # `acts` sends these very headers

    assert statuses == [201, 200, 200, 204, 200]


@pytest.mark.parametrize(
    "value", ['"999"', 'W/"1"', "", "garbage", '"998", "999"', 'W/"x", ""', f'"{"9" * 5000}"', '"²"']
)
def test_a_write_on_something_else_changes_nothing(client, add, pool, value):
    add()
    before = pool.snapshot()
    for response in acts(client, {"If-Match": value}):
        assert response.status_code == 412
        assert "look again" in response.json["error"]

    assert pool.snapshot() == before


def test_of_two_writes_on_the_same_sight_one_is_done(client, add):
    add()
    headers = {"If-Match": client.get("/servers").headers["ETag"]}
    writes = [
        client.patch("/servers/localhost:5001", json={"weight": weight}, headers=headers) for weight in (2, 3)
    ]

    assert [response.status_code for response in writes] == [200, 412]
    assert writes[1].json["error"].startswith('the pool is now at version "2", not as you saw it')


def test_a_change_of_two_things_is_one_write(client, add):
    add()
    headers = {"If-Match": client.get("/servers").headers["ETag"]}
    response = client.patch("/servers/localhost:5001", json={"weight": 2, "admin": "drain"}, headers=headers)

    assert (response.status_code, response.json["weight"], response.json["admin"]) == (200, 2, "drain")


def test_any_version_will_do_for_a_star_and_for_no_wish(client, add):
    add()

    for headers in ({"If-Match": "*"}, {}):
        response = client.patch("/servers/localhost:5001", json={"weight": 2}, headers=headers)
        assert response.status_code == 200
