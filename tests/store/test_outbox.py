"""What the webhook has not been told, on a real store."""

from __future__ import annotations

import pytest
import redis

from lb.errors import StoreError
from lb.model import Source
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.outbox import Outbox
from lb.store.pool import BackendPool
from tests.store.acts import Worker, spec


@pytest.fixture
def outbox(connection: redis.Redis, keys: Keys) -> Outbox:
    return Outbox(connection, keys)


@pytest.fixture
def term(pool: BackendPool) -> int:
    """Of the lead, in a pool without servers."""
    pool.reconcile([], "round-robin", "test")
    return pool.lead("checker-1", 60) or 0


def add(pool: BackendPool, name: str) -> None:
    pool.add(spec(name), Source.ADMIN, "test")  # type: ignore[arg-type]


def servers(outbox: Outbox, term: int) -> list[str]:
    return [event.server for event in outbox.unsent(term).events]


def test_what_was_before_is_no_news(outbox, pool, term):
    add(pool, "a:1")
    assert servers(outbox, term) == []
    add(pool, "b:1")
    assert servers(outbox, term) == ["b:1"]


def test_an_empty_stream_is_followed_from_its_beginning(outbox, pool, term, connection, keys):
    connection.delete(keys.events)
    assert servers(outbox, term) == []
    add(pool, "a:1")
    assert servers(outbox, term) == ["a:1"]


def test_events_are_there_in_order_until_they_are_sent(outbox, pool, term):
    outbox.unsent(term)
    for name in ("a:1", "b:1", "c:1"):
        add(pool, name)
    unsent = outbox.unsent(term)
    assert list(unsent.events) == pool.events(3)
    assert abs(unsent.now - unsent.events[-1].at) < 60

    outbox.sent(unsent.events[1].id, term)
    assert servers(outbox, term) == ["c:1"]
    assert outbox.unsent(term).cursor == unsent.events[1].id


def test_the_next_leader_goes_on_where_the_last_one_stopped(outbox, pool, term):
    outbox.unsent(term)
    add(pool, "a:1")
    outbox.sent(pool.events()[-1].id, term)
    add(pool, "b:1")
    pool.resign("checker-1")
    next_term = pool.lead("checker-2", 60)
    assert next_term

    assert servers(outbox, next_term) == ["b:1"]
    with pytest.raises(StoreError, match="no longer leads"):
        outbox.sent(pool.events()[-1].id, term)
    with pytest.raises(StoreError, match="no longer leads"):
        outbox.unsent(term)
    assert servers(outbox, next_term) == ["b:1"]


def test_a_store_that_lost_the_cursor_is_told_it_again(outbox, pool, term, connection, keys):
    cursor = outbox.unsent(term).cursor
    add(pool, "a:1")
    connection.delete(keys.webhook_cursor)
    assert [event.server for event in outbox.unsent(term, cursor).events] == ["a:1"]


def test_a_worker_that_was_degraded_is_in_the_events(pool, fleet: Fleet, connection, keys):
    worker = Worker(connection, keys, "w1")
    fleet.store_back(worker.id, 12.34)
    event = pool.events()[-1]
    assert (event.kind, event.server, event.by, event.detail) == (
        "store-back",
        "",
        "w1",
        "degraded for 12.3 s",
    )
