"""Connections to the servers through urllib3, whose response heads are read by the data plane's rules.

urllib3, and the standard library below it, read responses on behalf of applications: they accept what is
almost HTTP, join folded lines, and keep hop-by-hop headers. A proxy must not do so, so the way in which they
read the head is replaced.
"""

from __future__ import annotations

import math
import socket
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPMessage, HTTPResponse
from typing import Any

from gevent import monkey
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.util.connection import create_connection

from lb.errors import ExhaustedError, LBError, ServerConnectError, ServerConnectTimeoutError
from lb.model import ServerId, address_name
from lb.proxy.connections import NO_DESCRIPTOR, OUR_OWN, url_of
from lb.proxy.http1 import HeadParser, ResponseHead
from lb.wsgi.chunked import ChunkedResponse
from lb.wsgi.heads import HeadReader
from lb.wsgi.sending import send_unless_answered

# The system's own: gevent's would wait for a turn of the hub.
_poll = monkey.get_original("select", "poll")


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Limits of the connections to a server, in seconds, bytes, and connections kept; how it is named."""

    connect_seconds: float
    response_head_seconds: float
    idle_seconds: float
    max_idle: int
    head_bytes: int
    server_header: str = "X-Forwarded-Server"


class ServerConnection(HTTPConnection):
    """A connection. Its timeout is at first that for connecting, then that for a response's head."""

    def __init__(
        self,
        server: ServerId,
        heads: HeadParser,
        settings: ConnectionSettings,
        left_out: Collection[str] = (),
    ) -> None:
        """`left_out` are addresses of the server that are used only if no other can be reached."""
        self._left_out = left_out
        self._path = server.removeprefix("unix:") if server.startswith("unix:") else ""
        host, _, port = ("localhost", "", "80") if self._path else server.rpartition(":")
        super().__init__(host.strip("[]"), int(port), timeout=settings.connect_seconds)
        self._heads = heads
        self._head_bytes = settings.head_bytes
        self._head_seconds = settings.response_head_seconds
        self.head: ResponseHead | None = None  # of the last response
        self.reused = False
        self.heard = False  # whether a byte of the current response has arrived
        self.uploading = False  # the head of a request has been sent, its body has not
        self.uploaded = 0  # bytes of the current request's body
        self.idle_since = 0.0
        self.response_class = self._response  # type: ignore[assignment]

    def quiet(self) -> bool:
        """Whether the server has neither closed this idle connection nor sent anything on it."""
        if self.sock is None:
            return False
        poll = _poll()
        poll.register(self.sock.fileno(), 1)  # POLLIN
        return not poll.poll(0)

    def send(self, data: Any) -> None:
        """Send a part of a request; BrokenPipeError if the server has answered before it has all of it."""
        if self.uploading and self.sock is not None:
            send_unless_answered(self.sock, data, float(self.timeout or 0))
        else:
            super().send(data)

    def _new_conn(self) -> socket.socket:
        if self._left_out:
            return self._dial_in_order()
        if not self._path:
            return super()._new_conn()
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(float(self.timeout or 0) or None)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        return sock

    def _dial_in_order(self) -> socket.socket:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        places = [(str(place[0]), int(place[1])) for *_, place in found]
        failure = OSError("the name has no address")
        for place in sorted(places, key=lambda place: address_name(*place) in self._left_out):
            try:
                return create_connection(place, float(self.timeout or 0) or None, None, self.socket_options)
            except OSError as error:
                failure = error
        raise failure

    def _response(self, sock: socket.socket, method: str) -> HTTPResponse:
        self.heard = False
        return _Response(self, sock, method)

    def read_head(self, stream: Any, sock: socket.socket, method: bytes) -> ResponseHead:
        """Read a response's head, past interim ones; ServerError if one is malformed."""
        reader = HeadReader(
            stream,
            sock,
            head_bytes=self._head_bytes,
            seconds=self._head_seconds,
            uploaded=self.uploaded,
        )
        try:
            head, certain_end = reader.read(self._heads, method)
        finally:
            self.heard = reader.heard
        self.head = head if certain_end else replace(head, keep_alive=False)
        return self.head


class _Response(HTTPResponse):
    """The standard library's response, except for the way in which its head is read."""

    def __init__(self, connection: ServerConnection, sock: socket.socket, method: str) -> None:
        super().__init__(sock, method=method)
        self._connection = connection
        self._request_method = method.encode()
        self._socket = sock

    def begin(self) -> None:
        """Read the head. Only what frames the body is set: nothing else of it is used by urllib3's side."""
        head = self._connection.read_head(self.fp, self._socket, self._request_method)
        self.code = self.status = head.status
        self.reason = ""
        self.version = 10 + head.minor
        self.headers = self.msg = HTTPMessage()
        has_body = head.has_body(self._request_method)
        self.chunked = has_body and head.fields.chunked
        self._chunks = ChunkedResponse(self.fp)
        self.length = head.fields.content_length if has_body else 0
        if self.chunked:
            self.headers["Transfer-Encoding"] = "chunked"
        elif has_body and self.length is not None:
            self.headers["Content-Length"] = str(self.length)
        self.will_close = not head.keep_alive or (self.length is None and not self.chunked)

    def _read1_chunked(self, _size: int) -> bytes:
        """Read a piece of a chunked body: nobody reads it in any other way."""
        piece = self._chunks.read()
        if not piece:
            self._close_conn()  # type: ignore[attr-defined]
        return piece


class Connections:
    """The connections of a process to one server, shared by all of its threads or greenlets."""

    def __init__(
        self,
        server: ServerId,
        heads: HeadParser,
        settings: ConnectionSettings,
        spare: Callable[[], bool] = bool,
        left_out: Collection[str] = (),
    ) -> None:
        """`spare` closes a connection that is idle, to any server, and says whether there was one.

        `left_out` are addresses of the server that are used only if no other can be reached.
        """
        self.server = server
        self._spare = spare
        #: The header that tells from which server a response came, if there is to be one.
        self.signature = ((settings.server_header, url_of(server)),) if settings.server_header else ()
        self.host = "localhost" if server.startswith("unix:") else str(server)
        self._heads = heads
        self._left_out = left_out
        self._settings = settings
        self._max_idle = settings.max_idle
        self._idle: deque[ServerConnection] = deque()

    def take(self) -> ServerConnection | None:
        """Return the most recently used kept connection that is still good; None if there is none."""
        with suppress(IndexError):  # there is none
            while True:
                connection = self._idle.pop()
                if connection.quiet():
                    return connection
                connection.close()
        return None

    def keep(self, connection: ServerConnection) -> None:
        """Keep a connection for the next request; close the one unused for longest if it is one too many."""
        connection.idle_since = now = time.monotonic()
        self._idle.append(connection)
        with suppress(IndexError):  # another thread took it
            longest = now - self._idle[0].idle_since
            if longest > self._settings.idle_seconds or len(self._idle) > self._max_idle:
                self._idle.popleft().close()

    @property
    def idle_since(self) -> float:
        """When its connection that is idle for the longest became so, in monotonic seconds."""
        with suppress(IndexError):
            return self._idle[0].idle_since
        return math.inf

    def close_oldest(self) -> bool:
        """Close that connection; False if none is idle."""
        with suppress(IndexError):
            self._idle.popleft().close()
            return True
        return False

    def connect(self) -> ServerConnection:
        """Make a new connection; ServerConnectError or ExhaustedError if that fails.

        If there is no descriptor left, those of idle connections are used, to whichever server.
        """
        while True:
            connection = ServerConnection(self.server, self._heads, self._settings, self._left_out)
            try:
                connection.connect()
            except (HTTPError, OSError) as error:
                cause = error.__cause__ or error
                if getattr(cause, "errno", None) not in NO_DESCRIPTOR or not self._spare():
                    raise self._failure(cause) from None
            else:
                connection.timeout = self._settings.response_head_seconds
                return connection

    def _failure(self, cause: BaseException) -> LBError:
        if isinstance(cause, TimeoutError):
            return ServerConnectTimeoutError(
                f"{self.server}: no connection in {self._settings.connect_seconds:g} s"
            )
        kind = ExhaustedError if getattr(cause, "errno", None) in OUR_OWN else ServerConnectError
        return kind(f"{self.server}: {getattr(cause, 'strerror', None) or cause}")

    def close(self) -> None:
        """Close the kept connections, and keep no more; those in use go on."""
        self._max_idle = 0
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
