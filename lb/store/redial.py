"""Redial: opens the lease line's next connection in the background, however long the store stays away."""

from __future__ import annotations

from collections.abc import Callable
from random import uniform

from gevent import sleep, spawn

from lb.errors import StoreError
from lb.store.lease_wire import LeaseSocket

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.01, 1.0


class Redial:
    """Dials until it succeeds. Pauses double from 10 ms up to 1 s.

    Each pause varies by a quarter, so that the workers of a fleet do not all dial at the same instant. The
    first attempt comes at once while `delay_seconds` is 0.0; the lease line resets it with each grant.
    """

    def __init__(
        self,
        dial: Callable[[], LeaseSocket],
        on_connected: Callable[[LeaseSocket], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """`dial` raises OSError or StoreError; the callbacks get the socket, or why an attempt failed."""
        self._dial = dial
        self._on_connected = on_connected
        self._on_failed = on_failed
        self.delay_seconds = 0.0  # before the next attempt

    def start(self) -> None:
        """Begin to dial, in a greenlet of its own."""
        spawn(self._run)

    def _run(self) -> None:
        while True:
            sleep(self.delay_seconds * uniform(0.75, 1.25))
            self.delay_seconds = min(max(self.delay_seconds * 2, _SHORTEST_SECONDS), _LONGEST_SECONDS)
            try:
                sock = self._dial()
            except (OSError, StoreError) as error:
                self._on_failed(str(error))
            else:
                self._on_connected(sock)
                return
