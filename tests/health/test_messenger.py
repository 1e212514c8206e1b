"""The messenger on a real store, with a receiver, a lead and pauses that the test decides."""

from __future__ import annotations

import logging

import pytest

from lb.errors import StoreError
from lb.health.messenger import BACKLOG, DELAYS_SECONDS, Messenger
from lb.health.webhook import Refusal
from lb.model import Admin, Event, Source
from lb.store.outbox import Outbox
from tests.store.acts import spec

LATER, NEVER = Refusal("status 500 Internal Server Error", final=False), Refusal("status 404 Not Found", True)
KINDS = ("added", "removed", "up", "down")


class Receiver:
    """Gives the `answers`, one after the other, then takes everything."""

    name = "alerts.example"

    def __init__(self) -> None:
        self.tries: list[Event] = []
        self.answers: list[Refusal | None] = []

    def tell(self, event: Event) -> Refusal | None:
        self.tries.append(event)
        return self.answers.pop(0) if self.answers else None

    @property
    def servers(self) -> list[str]:
        return [event.server for event in self.tries]


class Lead:
    """A messenger, and what it is given: it ends or loses the lead when told."""

    def __init__(self, pool, outbox: Outbox, name: str, receiver: Receiver) -> None:
        self.term = pool.lead(name, 60)
        self.pauses: list[float] = []
        self.stop_at_pause = self.lose_at_pause = 0
        self.messenger = Messenger(
            outbox,
            receiver,  # type: ignore[arg-type]
            KINDS,
            term=lambda: self.term,
            wait=self._wait,
            uniform=lambda low, high: (low + high) / 2,
        )

    def turn(self) -> None:
        self.messenger.turn()

    def _wait(self, seconds: float) -> bool:
        if seconds:
            self.pauses.append(seconds)
        if self.lose_at_pause and len(self.pauses) == self.lose_at_pause:
            self.term = None
        return len(self.pauses) == self.stop_at_pause > 0


@pytest.fixture(autouse=True)
def _pool(pool) -> None:
    """There is a pool, without servers."""
    pool.reconcile([], "round-robin", "test")


@pytest.fixture
def outbox(connection, keys) -> Outbox:
    return Outbox(connection, keys)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def lead(pool, outbox, receiver) -> Lead:
    """One that leads, and has begun to follow."""
    lead = Lead(pool, outbox, "checker-1", receiver)
    lead.turn()
    return lead


def add(pool, *names: str) -> None:
    for name in names:
        pool.add(spec(name), Source.ADMIN, "test")


def test_each_event_is_told_once_in_order(lead, pool, receiver):
    add(pool, "a:1", "b:1")
    lead.turn()
    pool.remove("a:1", "test")
    lead.turn()
    lead.turn()
    assert [(event.kind, event.server) for event in receiver.tries] == [
        ("added", "a:1"),
        ("added", "b:1"),
        ("removed", "a:1"),
    ]


def test_what_was_before_the_first_leader_is_not_told(pool, outbox, receiver):
    add(pool, "a:1")
    Lead(pool, outbox, "checker-1", receiver).turn()
    assert receiver.tries == []


def test_other_kinds_are_passed_over(lead, pool, receiver, outbox):
    add(pool, "a:1")
    pool.set_admin("a:1", Admin.DRAIN, "test")
    lead.turn()
    assert [event.kind for event in receiver.tries] == ["added"]
    assert outbox.unsent(lead.term).events == ()


def test_one_that_does_not_lead_tells_nothing(lead, pool, receiver):
    add(pool, "a:1")
    term, lead.term = lead.term, None
    lead.turn()
    assert receiver.tries == []
    lead.term = term
    lead.turn()
    assert receiver.servers == ["a:1"]


def test_a_refused_event_is_tried_again_before_the_next_is_told(lead, pool, receiver, caplog):
    caplog.set_level(logging.INFO)
    receiver.answers = [LATER, LATER, None]
    add(pool, "a:1", "b:1")
    lead.turn()
    assert receiver.servers == ["a:1", "a:1", "a:1", "b:1"]
    assert lead.pauses == list(DELAYS_SECONDS[:2])
    assert caplog.messages == [
        "the webhook at alerts.example takes nothing, trying again: status 500 Internal Server Error",
        "the webhook at alerts.example takes events again",
    ]


def test_after_the_last_try_the_next_event_follows(lead, pool, receiver, caplog):
    receiver.answers = [LATER] * 5
    add(pool, "a:1", "b:1")
    lead.turn()
    assert receiver.servers == ["a:1"] * 5 + ["b:1"]
    assert lead.pauses == list(DELAYS_SECONDS)
    assert caplog.messages[-1] == (
        "the webhook at alerts.example did not take added of a:1: status 500 Internal Server Error"
    )


def test_a_final_refusal_is_not_tried_again(lead, pool, receiver, caplog):
    receiver.answers = [NEVER]
    add(pool, "a:1", "b:1")
    lead.turn()
    assert receiver.servers == ["a:1", "b:1"]
    assert lead.pauses == []
    assert caplog.messages == [
        "the webhook at alerts.example did not take added of a:1: status 404 Not Found"
    ]


def test_the_next_leader_tells_what_the_last_one_could_not(lead, pool, outbox, receiver):
    receiver.answers = [LATER, LATER]
    add(pool, "a:1", "b:1")
    lead.lose_at_pause = 2
    lead.turn()
    assert receiver.servers == ["a:1", "a:1"]
    pool.resign("checker-1")
    Lead(pool, outbox, "checker-2", receiver).turn()
    assert receiver.servers == ["a:1", "a:1", "a:1", "b:1"]


def test_one_that_lost_the_lead_while_it_told_leaves_the_cursor_alone(lead, pool, outbox, receiver):
    """The next leader tells it again: at least once."""
    add(pool, "a:1")
    tell = receiver.tell

    def lose(event):
        pool.resign("checker-1")
        return tell(event)

    receiver.tell = lose
    with pytest.raises(StoreError, match="no longer leads"):
        lead.turn()
    receiver.tell = tell
    Lead(pool, outbox, "checker-2", receiver).turn()
    assert receiver.servers == ["a:1", "a:1"]


def test_it_ends_between_two_tries(lead, pool, receiver):
    receiver.answers = [LATER] * 5
    add(pool, "a:1")
    lead.stop_at_pause = 1
    lead.turn()
    assert receiver.servers == ["a:1"]


def test_it_runs_until_it_is_to_end_and_waits_for_the_store(lead, pool, receiver, monkeypatch):
    add(pool, "a:1")
    turns = []
    turn = lead.messenger.turn

    def away() -> None:
        turns.append(1)
        if len(turns) == 1:
            raise StoreError("the store is away")
        turn()

    monkeypatch.setattr(lead.messenger, "turn", away)
    lead.stop_at_pause = 3
    lead.messenger.run()
    assert receiver.servers == ["a:1"]
    assert len(turns) == 2


def test_of_a_long_absence_only_the_latest_is_told_and_one_line_says_so(lead, pool, receiver, caplog):
    names = [f"a{number}:1" for number in range(BACKLOG + 20)]
    add(pool, *names)
    lead.turn()
    assert receiver.servers == names[20:]
    assert [message for message in caplog.messages if "not told of 20 events" in message] == caplog.messages


def test_what_is_older_than_an_hour_is_not_told(lead, pool, connection, keys, receiver, caplog):
    seconds, _ = connection.time()
    fields = {"kind": "down", "server": "old:1", "by": "test", "detail": ""}
    connection.delete(keys.events)
    connection.set(keys.webhook_cursor, "0-0")
    connection.xadd(keys.events, fields, id=f"{seconds - 3700}000-0")
    add(pool, "a:1")
    lead.turn()
    assert receiver.servers == ["a:1"]
    assert "not told of 1 events" in caplog.text
