"""How the admin API's process speaks HTTP: gevent's server, but each step of a client has its time and size.

gevent's own reads on the body of a request that was refused, however long it is, and a client that sends a
byte now and then is never late.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from time import monotonic
from typing import Any, Literal

from gevent.lock import Semaphore
from gevent.pywsgi import Input, WSGIHandler, WSGIServer
from greenlet import GreenletExit
from werkzeug.exceptions import RequestTimeout

from lb.limited_log import LimitedLog
from lb.processes.api_gate import Gate, Visit
from lb.proxy.fairness import go_round

_limited = LimitedLog(__name__)

#: Time until a request begins, for its whole head, for its whole body.
IDLE_SECONDS, HEAD_SECONDS, BODY_SECONDS = 30.0, 10.0, 10.0
#: Time to take a response; to take each message of a stream, which has no end.
RESPONSE_SECONDS, MESSAGE_SECONDS = 30.0, 10.0
#: Time for a client that is still sending to see the answer that it got.
LINGER_SECONDS = 5.0
#: The largest head.
HEAD_BYTES = 64 * 1024
#: One receive: gevent parses what is in it without a pause, chunks byte by byte.
_RECEIVE_BYTES = 2048
#: Requests that were sent before the last answer was, worked on at a time: they leave room for other clients.
_PIPELINED = 4
#: For the refusal of a connection.
_REFUSAL_SECONDS = 0.001
#: Dropped at a time of a body that nobody wants.
_DROPPED_BYTES = 65536

_STREAM = (b"Content-Type", b"text/event-stream; charset=utf-8")
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 52\r\n"
    b'Connection: close\r\nRetry-After: 1\r\n\r\n{"error":"too many connections now","status":503}   '
)


class _TooLargeError(OSError):
    """A head has no end."""


class Incoming(io.RawIOBase):
    """What a client sends: TimeoutError once its time is over, however often there is another byte."""

    def __init__(self, sock: Any) -> None:
        self._socket = sock
        self.expect(0.0, 0)

    def expect(self, seconds: float, size: float = float("inf")) -> None:
        """Set the time, and the bytes, that the client has from now on."""
        self._ends, self._room, self._polls = monotonic() + seconds, size, False

    def poll(self) -> None:
        """Read only what is here, until more is expected."""
        self.expect(0.0)
        self._polls = True

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Receive some; 0 at the end, None if a poll finds nothing."""
        if self._polls:
            self._socket.settimeout(0.0)
            with suppress(BlockingIOError):
                return int(self._socket.recv_into(buffer))
            return None
        go_round()  # a client that is always ready leaves the others their turn, too
        if self._room <= 0:
            raise _TooLargeError
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        count: int = self._socket.recv_into(buffer)
        self._room -= count
        return count


class _Body(Input):
    """The body of a request, as the application reads it; what it does not read is not read at all."""

    def __init__(self, gevents: Input, visit: Visit) -> None:
        super().__init__(gevents.rfile, gevents.content_length, gevents.socket, gevents.chunked_input)
        self._visit = visit

    @property
    def unread(self) -> bool:
        """Whether there is more to come."""
        if self.chunked_input:
            return bool(self.chunk_length != 0)
        return bool(self.position < (self.content_length or 0))

    def read(self, length: int | None = None) -> bytes:
        """Read up to `length` bytes; 408 if they do not come in time."""
        self._visit.waits()
        try:
            data: bytes = super().read(length)
        except TimeoutError:
            raise RequestTimeout("the request's body came too slowly") from None
        finally:
            self._visit.at_work()
        return data

    def _discard(self) -> None:
        """Do nothing, where gevent reads on."""


class Handler(WSGIHandler):
    """One connection and its requests."""

    def __init__(self, sock: Any, address: Any, server: Server, visit: Visit) -> None:
        self._incoming = Incoming(sock)
        self._visit = visit
        self._late = False
        self._first = True
        self._holds_lane = False
        self._body: _Body | None = None
        self._response_ends = 0.0
        # gevent sends head and body apart; a kept connection would wait 40 ms for the body.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, address, server, io.BufferedReader(self._incoming, _RECEIVE_BYTES))  # type: ignore[call-arg]

    def handle_one_request(self) -> Literal[True] | None:
        """Serve a request; True if another may follow."""
        self._visit.waits()
        go_round()  # the next request may be here already
        try:
            if not self._first:
                self._incoming.poll()
                if self.rfile.peek(1):
                    self._holds_lane = self.server.pipelined.acquire()  # type: ignore[attr-defined]
            self._first = False
            self._incoming.expect(IDLE_SECONDS)
            if not self.rfile.peek(1):
                return None
            return self._serve_request()
        except OSError:
            return None
        finally:
            self._leave_lane()

    def _serve_request(self) -> Literal[True] | None:
        self._incoming.expect(HEAD_SECONDS, HEAD_BYTES)
        outcome = super().handle_one_request()
        if self._late:
            outcome = self._error(408)
        if isinstance(outcome, tuple):
            self._visit.waits()
            self.socket.settimeout(RESPONSE_SECONDS)
            self.socket.sendall(outcome[1])
            self._linger()
            return None
        if self._has_unread:
            self._linger()
            return None
        return outcome

    def _leave_lane(self) -> None:
        if self._holds_lane:
            self._holds_lane = False
            self.server.pipelined.release()  # type: ignore[attr-defined]

    @property
    def _has_unread(self) -> bool:
        return self._body is not None and self._body.unread

    def read_requestline(self) -> str:
        """Read the first line."""
        try:
            line: str = super().read_requestline()
        except TimeoutError:
            self._late = True
            raise
        return line

    def get_environ(self) -> dict[str, Any]:
        """Describe the request, whose head is there now."""
        environ: dict[str, Any] = super().get_environ()
        self.wsgi_input = self._body = _Body(self.wsgi_input, self._visit)  # type: ignore[arg-type]
        environ["wsgi.input"], environ["wsgi.input_terminated"] = self._body, True
        self._visit.at_work()
        self._incoming.expect(BODY_SECONDS)
        self._response_ends = 0.0
        return environ

    def finalize_headers(self) -> None:
        """Complete the response's head."""
        if self._has_unread:
            self.close_connection = True
            self.response_headers.append((b"Connection", b"close"))  # type: ignore[union-attr, arg-type]
        super().finalize_headers()

    def _sendall(self, data: bytes | bytearray) -> None:
        self._leave_lane()  # the work is done, or it is a stream
        now = monotonic()
        if _STREAM in (self.response_headers or ()):
            self._response_ends = now + MESSAGE_SECONDS
        self._response_ends = self._response_ends or now + RESPONSE_SECONDS
        self._visit.waits()
        try:
            self.socket.settimeout(max(0.001, self._response_ends - now))
            super()._sendall(data)  # type: ignore[misc]
        finally:
            self._visit.at_work()

    def _linger(self) -> None:
        """End our side, and drop what comes for a while: a close on unread data would destroy the answer."""
        self._visit.waits()
        self._incoming.expect(LINGER_SECONDS)
        buffer = bytearray(_DROPPED_BYTES)
        with suppress(OSError):  # it is gone, or its time is over
            self.socket.shutdown(socket.SHUT_WR)
            while self._incoming.readinto(buffer):
                pass

    def _handle_client_error(self, error: BaseException) -> tuple[str, bytes]:
        if isinstance(error, TimeoutError):
            return self._error(408)
        if isinstance(error, _TooLargeError | HTTPException) or self.headers.status:  # a line is too long
            return self._error(431)
        return self._error(400)

    @staticmethod
    def _error(status: int) -> tuple[str, bytes]:
        head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        return str(status), head.encode()

    def handle_error(self, _kind: Any, error: Any, _trace: Any) -> None:
        """Answer 500 for a fault of ours; a client that left or is too slow is none."""
        if isinstance(error, (TimeoutError, ConnectionError, GreenletExit)):
            self.close_connection = True
            return
        _limited.exception("admin API: a request failed outside of the application")
        self._send_error_response_if_possible(500)  # type: ignore[attr-defined]


class Server(WSGIServer):
    """gevent's server behind a gate."""

    #: At a time: those that are in get their turn, and their requests are read, before more come.
    max_accept = 16

    def __init__(self, listener: socket.socket, app: Callable[..., Any], gate: Gate, **settings: Any) -> None:
        # No log of its own: it would report clients' mistakes, which each client learns from its response.
        super().__init__(listener, app, log=None, error_log=None, **settings)
        self._gate = gate
        self.pipelined = Semaphore(_PIPELINED)

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a connection to its end."""
        visit = self._gate.enter(sock, address[0])
        if visit is None:
            sock.settimeout(_REFUSAL_SECONDS)
            with suppress(OSError):  # it left
                sock.sendall(_REFUSAL)
                sock.recv(_DROPPED_BYTES)  # the request that is there: else the close would be a reset
            return
        try:
            with suppress(OSError):  # it left before it had read the error
                Handler(sock, address, self, visit).handle()
        finally:
            self._gate.leave(visit)
