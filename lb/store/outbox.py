"""Outbox: the events that the webhook is still to be told of; a new leader goes on where the last one was."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from lb.model import Event
from lb.store import views
from lb.store.keys import Keys
from lb.store.session import Session
from lb.store.values import column


@dataclass(frozen=True, slots=True)
class Unsent:
    """The events that are still to be told, as of one instant."""

    now: float  # unix seconds by the store's clock, like the times of the events
    cursor: str  # id of the last event that need not be told any more
    events: tuple[Event, ...]  # the oldest first


class Outbox:
    """For the leading health-checker: with the `term` of a lead that has ended, its methods raise StoreError.

    They raise StoreUnavailableError if the store cannot serve now.
    """

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)

    def unsent(self, term: int, cursor: str = "") -> Unsent:
        """Read the events that are still to be told: none the first time, as older events are no news.

        `cursor` is the position that the caller knows; it is used if the store has lost its own.
        """
        now, found, *entries = self._session.run("unsent", term, cursor)
        events = (views.event_of((entry, column(flat))) for entry, flat in entries)
        return Unsent(float(now), found, tuple(events))

    def sent(self, event: str, term: int) -> None:
        """Note that the events up to and including this id need not be told any more."""
        self._session.run("sent", event, term)
