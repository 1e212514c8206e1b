"""Messenger: tells the webhook what happens, while its health-checker leads: in order, at least once each."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Collection

from lb.errors import StoreError
from lb.health.webhook import Receiver
from lb.limited_log import LimitedLog
from lb.model import Event
from lb.store.outbox import Outbox

_log = logging.getLogger(__name__)
_limited = LimitedLog(__name__)

#: How often it looks for new events.
LOOK_SECONDS = 0.5

#: What is waited after each failed try but the last, ± the jitter's share: about three minutes for one event.
DELAYS_SECONDS = (1.0, 5.0, 25.0, 125.0)
JITTER = 0.2

#: What a receiver that was long away is not told: all but so many of the latest, and nothing older than this.
BACKLOG, OLDEST_SECONDS = 100, 3600.0


class Messenger:
    """Follows the events with the store's cursor, which moves on when one was told or is given up."""

    def __init__(  # noqa: PLR0913 - the lead, waiting and chance are passed in
        self,
        outbox: Outbox,
        receiver: Receiver,
        kinds: Collection[str],
        *,
        term: Callable[[], int | None],
        wait: Callable[[float], bool],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`term`: of the lead, None while another leads. `wait`: pause for seconds, True if it is to end."""
        self._outbox = outbox
        self._receiver = receiver
        self._kinds = frozenset(kinds)
        self._term = term
        self._wait = wait
        self._uniform = uniform
        self._cursor = ""
        self._failing = False

    def run(self) -> None:
        """Tell what happens until it is to end."""
        while not self._wait(LOOK_SECONDS):
            try:
                self.turn()
            except StoreError as error:
                _log.debug("the webhook is not told: %s", error)  # the health-checker says so

    def turn(self) -> None:
        """Tell what has happened, if this one leads. StoreError if the store is away, or the lead lost."""
        while (term := self._term()) is not None and (event := self._next(term)):
            if not self._deliver(event, term):
                return
            self._pass(event, term)
            if self._wait(0):
                return

    def _next(self, term: int) -> Event | None:
        """Return the first event to tell, and move the cursor up to it."""
        unsent = self._outbox.unsent(term, self._cursor)
        self._cursor = unsent.cursor
        waiting = [event for event in unsent.events if event.kind in self._kinds]
        wanted = [event for event in waiting[-BACKLOG:] if event.at >= unsent.now - OLDEST_SECONDS]
        if len(wanted) < len(waiting):
            _limited.warning(
                "the webhook at %s is not told of %d events: they are older than %g s, or too many wait",
                self._receiver.name,
                len(waiting) - len(wanted),
                OLDEST_SECONDS,
            )
        first = wanted[0] if wanted else None
        before = unsent.events[: unsent.events.index(first) if first else None]
        if before:
            self._pass(before[-1], term)
        return first

    def _deliver(self, event: Event, term: int) -> bool:
        """Tell one event, several times if need be; False if this one is to end, or leads no longer."""
        delays = iter(DELAYS_SECONDS)
        while refusal := self._receiver.tell(event):
            delay = None if refusal.final else next(delays, None)
            if delay is None:
                name, about = self._receiver.name, event.server or event.by
                _limited.warning(
                    "the webhook at %s did not take %s of %s: %s", name, event.kind, about, refusal.reason
                )
                return True
            self._failed(refusal.reason)
            if self._wait(delay * self._uniform(1 - JITTER, 1 + JITTER)) or self._term() != term:
                return False
        self._succeeded()
        return True

    def _pass(self, event: Event, term: int) -> None:
        self._outbox.sent(event.id, term)
        self._cursor = event.id

    def _failed(self, reason: str) -> None:
        if not self._failing:
            _limited.warning(
                "the webhook at %s takes nothing, trying again: %s", self._receiver.name, reason, burst=3
            )
        self._failing = True

    def _succeeded(self) -> None:
        if self._failing:
            _limited.info("the webhook at %s takes events again", self._receiver.name, burst=3)
        self._failing = False
