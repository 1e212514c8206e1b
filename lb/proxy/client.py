"""One client's connection while it is open."""

from __future__ import annotations

from lb.proxy.additions import Additions
from lb.proxy.headers import Fields
from lb.proxy.http1 import HeadParser, Request
from lb.proxy.pipeline import announces_end
from lb.proxy.reader import RECEIVE_BYTES
from lb.proxy.stream import Stream

# RFC 9110 §10.1.4: TE is for one connection, so a client's own goes no further; but trailers are passed on.
_TRAILERS_ARE_WELCOME = b"\r\nTE: trailers\r\nConnection: TE"


class CutError(Exception):
    """The response had begun and cannot be completed: the connection is cut so that the client can tell."""


class Client:
    """A client's connection while it is open."""

    __slots__ = (
        "_additions",
        "_announced",
        "_heads",
        "_lines",
        "_lines_minor",
        "_lines_of",
        "address",
        "arrived",
        "closing",
        "gone",
        "request",
        "sent_before",
        "server",
        "stream",
        "trusted",
    )

    def __init__(
        self, stream: Stream, address: str, additions: Additions, heads: HeadParser, *, trusted: bool
    ) -> None:
        self.stream = stream
        self.address = address.encode()
        self.trusted = trusted
        self._additions = additions
        self._heads = heads
        self._announced = False  # it has ended its side behind a request that it called its last
        self._lines_of: Fields | None = None
        self._lines_minor = 1
        self._lines = b""
        self.arrived = 0.0  # when the head of the request at hand had come, in monotonic seconds
        self.closing = False  # its connection ends with the request at hand
        self.gone = False  # it closed its connection while a request was being served
        self.request: Request | None = None  # the one at hand
        self.sent_before = 0  # bytes that were sent to it before this request; kept for an access log
        self.server: Stream | None = None  # the server's connection that serves it now
        stream.on_parked_readable = self._spoke

    def added_lines(self, fields: Fields, minor: int) -> bytes:
        """Return what is added to a request of HTTP/1.`minor`; mostly the same as the last time."""
        if fields is not self._lines_of or minor != self._lines_minor:
            self._lines_of, self._lines_minor = fields, minor
            self._lines = self._additions.lines(fields, minor, self.address, trusted=self.trusted)
            if fields.takes_trailers and minor and not fields.upgrade:
                self._lines += _TRAILERS_ARE_WELCOME
        return self._lines

    def _spoke(self) -> None:
        """Notice that the client left while its request is served, and end that; called in the hub.

        Its next requests may come meanwhile. They are read, up to a bound, because only behind them can its
        leaving be seen.
        """
        stream = self.stream
        if len(stream.buffer) >= RECEIVE_BYTES:
            stream.stop_watching()  # the kernel keeps the rest
            return
        try:
            said = stream.receive_now()
        except OSError:
            self._left()
        else:
            if said:
                stream.buffer += said
            elif said is not None and (stream.broken or not self._announced_its_end()):
                self._left()
            elif said is not None:
                stream.stop_watching()

    def _announced_its_end(self) -> bool:
        """Whether the request at hand, or one that was sent ahead, is the client's last by its own words.

        A client that said so and then ends its side still waits for its answers (`nc -N`); any other that
        ends its side is gone. TCP shows both alike (RFC 9112 §9.6), and servers must not work for those who
        left.
        """
        if self.request is None:
            return False
        self._announced = (
            self._announced or not self.request.keep_alive or announces_end(self.stream.buffer, self._heads)
        )
        return self._announced

    def _left(self) -> None:
        self.stream.stop_watching()
        if self.server is not None:
            self.gone = True
            self.server.close()
