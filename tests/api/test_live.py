"""The stream that the dashboard watches, as it goes over the wire."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from lb.api import live, serialise
from lb.api.access import Access
from lb.api.app import create_app
from lb.errors import StoreUnavailableError
from lb.model import Admin, RemovedServer

TOKEN, READ_TOKEN = "correct-horse-battery", "look-but-do-not-touch"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.02)


def watch(client: FlaskClient, **headers: str) -> Iterator[tuple[str, Any]]:
    """Yield what comes; closing the generator is the client's leaving."""
    with client.get("/live", headers=headers) as response:
        assert response.status_code == 200, response.text
        assert response.mimetype == "text/event-stream"
        for message in response.iter_encoded():
            kind, data = message.decode().strip().split("\n")
            yield kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def next_of(messages: Iterator[tuple[str, Any]], kind: str) -> Any:
    return next(data for found, data in messages if found == kind)


def test_begins_with_all_there_is(client, add, pool):
    add()
    messages = watch(client)

    assert next(messages) == ("access", {"mayWrite": True})
    kind, seen = next(messages)
    assert kind == "pool"
    assert seen["servers"] == [serialise.server_status(status) for status in pool.list()]
    assert {**seen["status"], "rates": seen["rates"]} == client.get("/status").json
    assert (seen["removed"], seen["strategies"]) == ([], client.get("/strategy").json["known"])
    assert [event["kind"] for event in next_of(messages, "events")] == ["added"]
    messages.close()


def test_a_change_is_told_and_an_event_only_once(client, add, pool):
    server = add()
    messages = watch(client)
    next_of(messages, "events")
    pool.set_admin(server.id, Admin.DRAIN, "test")
    pool.remove(server.id, "test")
    kinds: list[str] = []
    while "removed" not in kinds:
        kinds += [event["kind"] for event in next_of(messages, "events")]

    assert (len(kinds), kinds[-1]) == (2, "removed")
    assert [gone["id"] for gone in next_of(messages, "pool")["removed"]] == [server.id]
    messages.close()


def test_a_store_that_is_away_is_told_and_the_stream_goes_on(client, add, pool, monkeypatch):
    def away() -> None:
        raise StoreUnavailableError("the store does not answer")

    messages = watch(client)
    next_of(messages, "pool")
    with monkeypatch.context() as patch:
        patch.setattr(pool, "look", away)
        assert next_of(messages, "trouble") == {"error": "the store does not answer"}
    assert next_of(messages, "pool")["servers"] == []
    messages.close()


def test_streams_are_bounded_and_leaving_makes_room(client):
    streams = [watch(client) for _ in range(live.MAX_STREAMS)]
    for messages in streams:
        next(messages)
    refused = client.get("/live")

    assert refused.status_code == 503
    assert "close a dashboard" in refused.json["error"]
    streams[0].close()
    again = watch(client)
    assert next(again)[0] == "access"
    for messages in (*streams, again):
        messages.close()


def test_all_streams_share_one_look_per_tick(client, pool, monkeypatch):
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 3600.0)
    looks = []
    monkeypatch.setattr(pool, "removed", lambda: looks.append(1) or [])
    streams = [watch(client) for _ in range(3)]
    for messages in streams:
        next_of(messages, "pool")
        messages.close()

    assert len(looks) == 1


def test_a_slow_look_serves_all_that_waited_for_it(client, pool, monkeypatch):
    """Else a store that hangs would be asked by one stream after the other, and each would wait for all."""
    now, looks = 100.0, []

    def removed() -> list[RemovedServer]:
        nonlocal now
        now += 3 * live.INTERVAL_SECONDS
        looks.append(now)
        return []

    monkeypatch.setattr(live.time, "time", lambda: now)
    monkeypatch.setattr(pool, "removed", removed)
    for messages in [watch(client) for _ in range(3)]:
        next_of(messages, "pool")
        messages.close()

    assert len(looks) == 1


def test_the_time_is_the_stores_as_all_times_in_it_are(client, add, monkeypatch):
    add()
    here = time.time()
    monkeypatch.setattr(live.time, "time", lambda: here + 3600)
    messages = watch(client)
    seen = next_of(messages, "pool")

    assert abs(seen["at"] - seen["servers"][0]["since"]) < 60
    messages.close()


def test_a_read_only_token_watches_and_is_told_that_it_may_not_write(pool, fleet, counted):
    client = create_app(pool, fleet, Access(token=TOKEN, read_token=READ_TOKEN), counted).test_client()
    for token, may_write in ((TOKEN, True), (READ_TOKEN, False)):
        messages = watch(client, Authorization=f"Bearer {token}")
        assert next(messages) == ("access", {"mayWrite": may_write})
        messages.close()
