"""Outbox: the events that the webhook has not been told; any leader goes on where the last one stopped."""

from __future__ import annotations

from dataclasses import dataclass

import redis

from lb.model import Event
from lb.store import views
from lb.store.keys import Keys
from lb.store.session import Session


@dataclass(frozen=True, slots=True)
class Unsent:
    """What is still to be told, at one instant."""

    now: float  # unix seconds by the store's clock, as the events'
    cursor: str  # id of the last event that needs no more telling
    events: tuple[Event, ...]  # the oldest first


class Outbox:
    """For the leading health-checker; with the `term` of a lead that is over, StoreError.

    Also raises StoreUnavailableError if the store does not answer.
    """

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)

    def unsent(self, term: int, cursor: str = "") -> Unsent:
        """Read what is to be told: nothing the first time, as what was before is no news.

        `cursor` is what the caller knows of it, in case that the store has lost its own.
        """
        now, found, *entries = self._session.run("unsent", term, cursor)
        events = (
            views.event_of((entry, dict(zip(flat[::2], flat[1::2], strict=True)))) for entry, flat in entries
        )
        return Unsent(float(now), found, tuple(events))

    def sent(self, event: str, term: int) -> None:
        """Note that all events up to this id need no more telling."""
        self._session.run("sent", event, term)
