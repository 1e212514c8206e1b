"""Reader: the receiving half of a stream, which see."""

from __future__ import annotations

import socket
from _socket import socket as RawSocket  # noqa: N812 (unpatched, and a class to us)
from collections.abc import Callable

from gevent import get_hub
from greenlet import getcurrent, greenlet

from lb.proxy.fairness import RECEIVE_COST, TURN_BYTES, go_round

_READ = 1  # libev's EV_READ, as gevent's loop.io takes it

#: One receive; also what a slow reader can make a worker hold for it, per direction.
RECEIVE_BYTES = 65536


class Reader:
    """Receives from one connection, for at most one greenlet at a time."""

    __slots__ = (
        "_reader",
        "_reader_waits",
        "_reading",
        "_recv",
        "_socket",
        "_to_hub",
        "broken",
        "buffer",
        "on_parked_readable",
        "parked",
        "spent",
    )

    def __init__(self, sock: RawSocket) -> None:
        hub = get_hub()
        self._socket = sock
        self._to_hub: Callable[[], object] = greenlet.switch.__get__(hub)
        self._reader = hub.loop.io(sock.fileno(), _READ)
        self._reading = False
        self._reader_waits: greenlet | None = None
        self._recv = sock.recv
        self.buffer = b""  # received, not consumed
        self.spent = 0  # on what came, since we last waited for it; in bytes: see `fairness`
        self.broken = False  # the connection was found to be reset
        self.parked = False  # nobody reads; what comes is for `on_parked_readable`
        self.on_parked_readable: Callable[[], None] | None = None

    @property
    def waits(self) -> bool:
        """Whether a greenlet waits to read."""
        return self._reader_waits is not None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._socket.fileno() < 0

    def _readable(self) -> None:
        waiting = self._reader_waits
        if waiting is not None:
            self._reader_waits = None
            waiting.switch()
        elif self.parked and self.on_parked_readable is not None:
            if not self.quiet():  # else the event was of what has been received by now
                self.on_parked_readable()
        else:  # data before anyone asks for it: the kernel keeps it, the watcher would spin
            self.stop_watching()

    def stop_watching(self) -> None:
        """Leave what comes in the kernel until the next read."""
        self._reading = False
        self._reader.stop()

    def watch(self) -> None:
        """See to it that a parked stream notices what comes; ConnectionAbortedError if it is closed."""
        if not self._reading:
            if self.closed:
                raise ConnectionAbortedError("closed while in use")
            self._reading = True
            self._reader.start(self._readable)

    def receive_later(self, size: int = RECEIVE_BYTES) -> bytes:
        """Wait, then receive: for answers, which are never there at once. Empty at the end of the stream."""
        while True:
            if not self._reading:
                self.watch()
            self._reader_waits = getcurrent()
            try:
                self._to_hub()
                return self._recv(size)
            except BlockingIOError:
                continue
            finally:
                self._reader_waits = None

    def receive(self, size: int = RECEIVE_BYTES) -> bytes:
        """Receive, and wait only if there is nothing yet: for bodies. Empty at the end of the stream."""
        if self.spent < TURN_BYTES:
            try:
                data = self._recv(size)
            except BlockingIOError:
                pass
            else:
                self.spent += len(data) + RECEIVE_COST
                return data
        self.spent = 0
        return self.receive_later(size)

    def take_turns(self) -> None:
        """Go round the loop if it is the others' turn; for work on what was received before."""
        if self.spent >= TURN_BYTES:
            self.spent = 0
            go_round()

    def receive_now(self) -> bytes | None:
        """Receive without waiting: empty at the end of the stream, None if there is nothing yet."""
        try:
            return self._recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None

    def peek(self) -> bytes | None:
        """Look whether the peer sent something: its first byte, empty if it closed, None if neither."""
        try:
            return self._recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None

    def quiet(self) -> bool:
        """Whether the peer neither spoke nor closed: what a kept connection must be."""
        try:
            return self.peek() is None
        except OSError:
            self.broken = True  # the next read gets a plain end: the error is reported once
            return False
