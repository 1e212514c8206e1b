"""Stream: a non-blocking socket that a greenlet reads and writes as if it blocked.

gevent's own socket starts and stops a watcher, and switches through the hub's bookkeeping, at each wait:
about 25 µs per forwarded request. A Stream keeps one read watcher started for as long as someone reads, and
switches straight to the waiting greenlet. Time-outs are a deadline on the stream for its reader, another for
its writer, and one sweep over all.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
from _socket import socket as RawSocket  # noqa: N812 (unpatched, and a class to us)
from array import array
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from greenlet import getcurrent, greenlet

from lb.proxy.deadlines import Deadlines
from lb.proxy.reader import Reader

_WRITE = 2  # libev's EV_WRITE, as gevent's loop.io takes it

_NEVER = float("inf")


class StreamTimeoutError(TimeoutError):
    """A wait lasted past its deadline."""


class Stream(Reader):
    """One connection. At most one greenlet reads and one writes at a time."""

    __slots__ = (
        "_deadlines",
        "_unsent",
        "_writer",
        "_writer_waits",
        "deadline",
        "lingers",
        "patience_seconds",
        "reused",
        "send",
        "sent",
        "write_deadline",
    )

    def __init__(self, sock: RawSocket, deadlines: Deadlines) -> None:
        super().__init__(sock)
        self._deadlines = deadlines
        self._writer: Any = None  # made at the first write that must wait
        self._writer_waits: greenlet | None = None
        self._unsent = 0  # bytes of that which were unacknowledged when last looked at
        self.send: Callable[[bytes | memoryview], int] = sock.send
        self.sent = 0  # bytes, so far
        self.deadline = _NEVER  # monotonic seconds; waits to read past it raise StreamTimeoutError
        self.patience_seconds = _NEVER  # how long the peer may take nothing of what is being sent
        self.write_deadline = _NEVER  # monotonic seconds; set while a writer waits
        self.reused = False  # it has carried a request before
        self.lingers = False  # our side has ended, and the peer has sent nothing since
        deadlines.streams.add(self)

    # --- writing

    def send_all(self, data: bytes) -> None:
        """Send everything; StreamTimeoutError once the peer has taken nothing for `patience_seconds`."""
        try:
            sent = self.send(data)
        except BlockingIOError:
            sent = 0
        self.sent += sent
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:])

    def _send_rest(self, rest: memoryview) -> None:
        while rest:
            self._unsent = 2**31  # more than there can be
            self.wait_writable()
            try:
                sent = self.send(rest)
            except BlockingIOError:
                continue
            self.sent += sent
            rest = rest[sent:]

    def _took_some(self) -> bool:
        """Whether the peer took any since this was last asked; the kernel itself tells of much room only."""
        before, self._unsent = self._unsent, self.unacknowledged()
        return self._unsent < before

    @property
    def sending(self) -> bool:
        """Whether a greenlet waits to write."""
        return self._writer_waits is not None

    def unacknowledged(self) -> int:
        """Return how many of the bytes that were sent the peer's side has not acknowledged."""
        count = array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, count)
        return count[0]

    def wait_writable(self) -> None:
        """Wait until the peer takes more, or the connection is made or has failed.

        StreamTimeoutError once `patience_seconds` have passed.
        """
        if self._writer is None:
            self._writer = get_hub().loop.io(self._socket.fileno(), _WRITE)
        self._writer_waits = getcurrent()
        self._writer.start(self._writable)
        self.write_deadline = self._deadlines.now + self.patience_seconds
        try:
            self._to_hub()
        finally:
            self._writer_waits = None
            self.write_deadline = _NEVER

    def _writable(self) -> None:
        self._writer.stop()
        waiting = self._writer_waits
        if waiting is not None:
            self._writer_waits = None
            waiting.switch()

    # --- life

    def arm(self, seconds: float) -> None:
        """Let waits to read, and no others, raise StreamTimeoutError from `seconds` from now on."""
        self.deadline = self._deadlines.now + seconds

    def arm_write(self, seconds: float) -> None:
        """Let the peer take nothing of what is sent for `seconds`, in a wait under way from now on."""
        self.patience_seconds = seconds
        if self._writer_waits is not None:
            self.write_deadline = self._deadlines.now + seconds

    def disarm(self) -> None:
        """Let waits to read last."""
        self.deadline = _NEVER

    def expire(self, now: float) -> None:
        """End the waits that are past their deadlines with StreamTimeoutError; called in the hub."""
        if self.write_deadline < now:
            if self._took_some():  # slow, not silent
                self.write_deadline = self._deadlines.now + self.patience_seconds
            else:
                self._end_write(StreamTimeoutError())
        if self.deadline < now:
            if self._reader_waits is not None:
                self.deadline = _NEVER
                self._end_read(StreamTimeoutError())
            elif self.parked and self.on_parked_readable is not None:
                self.deadline = _NEVER
                self.on_parked_readable()
            # else it is busy with another stream: the deadline stands for its next wait on this one

    def _end_read(self, error: Exception) -> None:
        reader, self._reader_waits = self._reader_waits, None
        if reader is not None:
            reader.throw(error)

    def _end_write(self, error: Exception) -> None:
        writer, self._writer_waits = self._writer_waits, None
        if writer is not None:
            writer.throw(error)

    def _interrupt(self, error: Exception) -> None:
        self._end_read(error)
        self._end_write(error)

    def shutdown_write(self) -> None:
        """Tell the peer that nothing more comes; what it sends can still be received."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Close with a reset, which no peer can take for the regular end of a message."""
        if not self.closed:
            self.end_with_reset(True)
            self.close()

    def end_with_reset(self, on: bool) -> None:  # noqa: FBT001 (as setsockopt has it)
        """Make each close a reset from now on, also by the kernel if this process dies; or undo that."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0))

    def close(self) -> None:
        """Close; a greenlet that still waits on it is woken with ConnectionAbortedError."""
        if self.closed:
            return
        self._deadlines.streams.discard(self)
        self.on_parked_readable = None
        self._reading = False  # a greenlet that comes to wait now is told
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
        self._socket.close()
        if self._reader_waits is not None or self._writer_waits is not None:
            get_hub().loop.run_callback(self._interrupt, ConnectionAbortedError("closed while in use"))
