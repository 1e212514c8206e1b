"""`GET /live`: what the dashboard shows, once a second, as server-sent events.

The store is read once a second however many streams there are, as they share what was read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock

from werkzeug.exceptions import ServiceUnavailable

from lb.api import serialise
from lb.api.counted import Counted
from lb.api.overview import look
from lb.errors import StoreError
from lb.model import Event
from lb.store.fleet import Fleet
from lb.store.pool import BackendPool
from lb.strategies import STRATEGIES

INTERVAL_SECONDS = 1.0
MAX_STREAMS = 32  # each holds a connection of the API for as long as somebody watches

_EVENTS = 100  # a stream begins with so many of the latest


@dataclass(frozen=True, slots=True)
class _Sight:
    """What all streams send in one second."""

    message: str
    events: Sequence[Event] = ()


class Live:
    """The streams of an app, and what they share."""

    def __init__(self, pool: BackendPool, fleet: Fleet, counted: Counted) -> None:
        self._pool = pool
        self._fleet = fleet
        self._counted = counted
        self._places = BoundedSemaphore(MAX_STREAMS)
        self._looking = Lock()
        self._tick = -1
        self._sight = _Sight("")

    def enter(self) -> None:
        """Take one of the places for streams, until `leave`; ServiceUnavailable if none is left."""
        if not self._places.acquire(blocking=False):
            raise ServiceUnavailable(
                f"{MAX_STREAMS} streams are open already, no more at once; close a dashboard, or GET /status"
            )

    def leave(self) -> None:
        """Give the place back."""
        self._places.release()

    def stream(self, *, may_write: bool) -> Iterator[str]:
        """Yield messages for ever: `access` once, then each second `pool` or `trouble`, and new `events`."""
        yield _message("access", {"mayWrite": may_write})
        told = (0, 0)
        while True:
            sight = self._see()
            yield sight.message
            fresh = [event for event in sight.events if _position(event) > told]
            if fresh:
                told = _position(fresh[-1])
                yield _message("events", [serialise.event(event) for event in fresh])
            time.sleep(INTERVAL_SECONDS - time.time() % INTERVAL_SECONDS)

    def _see(self) -> _Sight:
        with self._looking:
            if self._tick != _tick():
                self._sight = self._look()
                self._tick = _tick()  # at its end: a slow look also serves those that waited for it
            return self._sight

    def _look(self) -> _Sight:
        try:
            overview = look(self._pool, self._fleet)
            removed = self._pool.removed()
            events = self._pool.events(_EVENTS)
            rates = self._counted.rates()
        except StoreError as error:
            return _Sight(_message("trouble", {"error": str(error)}))
        picture = {
            "at": overview.at,
            "status": serialise.overview(overview),
            "servers": [serialise.server_status(status) for status in overview.servers],
            "removed": [serialise.removed_server(gone) for gone in removed],
            "strategies": list(STRATEGIES),
            "rates": serialise.rates(rates),
        }
        return _Sight(_message("pool", picture), events)


def _tick() -> int:
    return int(time.time() / INTERVAL_SECONDS)


def _message(kind: str, data: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def _position(event: Event) -> tuple[int, int]:
    milliseconds, _, number = event.id.partition("-")
    return int(milliseconds), int(number)
