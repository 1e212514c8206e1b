"""What the supervisor's loop waits for: the lines from its children, and whatever else becomes readable."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType

from lb import limited_log
from lb.processes import log
from lb.processes.child import Child
from lb.processes.signals import Incoming


class Lines:
    """The lines of all children that give signs of life, from entry to exit."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()

    def add(self, source: socket.socket | Incoming, act: Callable[[], None]) -> None:
        """Have `act` called whenever the source becomes readable."""
        self._selector.register(source, selectors.EVENT_READ, act)

    def listen_to(self, child: Child) -> None:
        """Take a child's signs of life from now on, if it gives any."""
        if child.role.beats and child.control is not None:
            self.add(child.control, partial(self._hear, child))

    def hang_up(self, child: Child) -> None:
        """Close a child's line, if it is open."""
        if child.control is None:
            return
        if child.role.beats:
            self._selector.unregister(child.control)
        child.control.close()
        child.control = None

    def wait(self, seconds: float | None) -> None:
        """Wait for the next thing to come in, for ever if `seconds` is None, and act on all that has.

        It may come back earlier with nothing while a reader of the log stalls.
        """
        limited_log.flush()
        if log.push():
            seconds = log.AGAIN_SECONDS if seconds is None else min(seconds, log.AGAIN_SECONDS)
        for key, _ in self._selector.select(seconds):
            key.data()

    def _hear(self, child: Child) -> None:
        if not child.hear(time.monotonic()):
            self.hang_up(child)
