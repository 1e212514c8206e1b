"""Signals that wait to be taken, so that one loop waits for everything and handlers do next to nothing."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

#: What the supervisor acts on: its children, the end, and changes while it runs.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
CHANGES = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2)
ALL = (signal.SIGCHLD, *STOPS, *CHANGES)


class Incoming:
    """The signals that have come. Readable, for a selector, when there may be some to take."""

    def __init__(self, wake: socket.socket) -> None:
        self._wake = wake
        self._noted: list[signal.Signals] = []

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._wake.fileno()

    def note(self, number: int, _frame: object) -> None:
        """Keep a signal; a handler of signals. The socket has room for some hundreds only, and wakes."""
        self._noted.append(signal.Signals(number))

    def take(self) -> list[signal.Signals]:
        """Return those that have come since the last time."""
        with suppress(BlockingIOError):
            self._wake.recv(4096)
        noted, self._noted = self._noted, []
        return noted


@contextmanager
def incoming(numbers: Sequence[signal.Signals]) -> Iterator[Incoming]:
    """Take these signals from now on, those held back until now too."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(0)
    with ours, theirs:
        signals = Incoming(ours)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, signals.note) for number in numbers}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # a program before this one may have held them
        try:
            yield signals
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
