"""Signals as bytes on a socket, so that handlers do nothing at all and one loop waits for everything."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

#: What the supervisor acts on: its children, the end, and changes while it runs.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
CHANGES = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2)
ALL = (signal.SIGCHLD, *STOPS, *CHANGES)


@contextmanager
def incoming(numbers: Sequence[signal.Signals]) -> Iterator[socket.socket]:
    """Yield a socket on which each of these signals is a byte, its number; also those held back until now."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(0)
    with ours, theirs:
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, lambda *_: None) for number in numbers}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # a program before this one may have held them
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
