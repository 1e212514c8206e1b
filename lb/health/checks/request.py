"""One request of a check: a new connection to one address, and the answer that came over it."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

import gevent
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from lb import __version__
from lb.health.names import Place
from lb.health.words import cause_of, words

_HEADERS = {"User-Agent": f"lb-health-checker/{__version__}", "Accept": "*/*", "Connection": "close"}

#: How much of a body is read. Health pages are shorter, and of a longer response this much is enough.
_BODY_BYTES = 64 * 1024

#: Receives after which the checks of other servers get their turn.
_TURN = 16

#: Errors of socket(2) and connect(2) that say nothing of the server.
_OUR_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class Request:
    """What a server is asked."""

    host: str  # what Host says
    port: int
    method: str
    path: str
    timeout_seconds: float  # of the whole check, for words
    with_body: bool = False  # whether the answer's body has to come too


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it."""

    status: int | None  # None: no answer
    problem: str  # what went wrong, empty if nothing did
    at: float  # when that was known (monotonic seconds)
    refused: bool = False  # it was said at once that there is no connection to be had
    late: bool = False  # the time was over
    ours: bool = False  # for want of a descriptor or the like we did not even ask


def ask(place: Place, request: Request, until: float) -> Answer:
    """Ask whoever listens there, until that monotonic time. Never raises: the outcome holds any error."""
    status = sock = None
    try:
        sock = _dial(place, until)
        with closing(_connection(request, sock)) as connection, _deadline(sock, until):
            connection.request(request.method, request.path, headers=_HEADERS, preload_content=False)
            with connection.getresponse() as response:
                status = response.status
                if request.with_body:
                    _read_some(response)
    except (OSError, HTTPException, HTTPError) as error:
        late = isinstance(cause_of(error), TimeoutError)
        refused = sock is None and not late
        ours = sock is None and isinstance(error, OSError) and error.errno in _OUR_OWN
        return Answer(status, words(error, request.timeout_seconds), time.monotonic(), refused, late, ours)
    return Answer(status, "", time.monotonic())


class _Socket(socket.socket):
    """Keeps the deadline of a server that sends without a pause, and lets others have their turns.

    There are many ways to go on for ever: interim responses, chunks, trailers.
    """

    until: float  # monotonic seconds
    _received = 0

    def recv_into(self, *arguments: Any) -> int:
        self._received += 1
        if self._received % _TURN == 0:
            gevent.sleep(0.001)
            if time.monotonic() >= self.until:
                raise TimeoutError
        return super().recv_into(*arguments)


class _Response(HTTPResponse):
    """Steps over interim responses such as 103 (Early Hints), of which the base class knows only 100.

    A response without a body ends at its empty line, whatever its fields say (RFC 9112 §6.3, 1): the base
    class would wait for the chunks of a 204, and urllib3 refuses some lengths.
    """

    def begin(self) -> None:
        super().begin()
        while 102 <= self.status <= 199:
            self.headers = None  # type: ignore[assignment]  # so it starts afresh
            super().begin()
        if self._method == "HEAD" or self.status in {204, 304}:  # type: ignore[attr-defined]
            del self.headers["Content-Length"], self.headers["Transfer-Encoding"]
            self.chunked, self.length = False, 0


def _connection(request: Request, sock: socket.socket) -> HTTPConnection:
    connection = HTTPConnection(request.host, request.port)
    connection.response_class = _Response
    connection.sock = sock
    return connection


def _dial(place: Place, until: float) -> socket.socket:
    family, address = place
    sock = _Socket(family)
    sock.until = until
    try:
        sock.settimeout(max(0.001, until - time.monotonic()))
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _read_some(response: BaseHTTPResponse) -> None:
    left = _BODY_BYTES
    while left > 0 and (data := response.read(left, decode_content=False)):
        left -= len(data)


@contextmanager
def _deadline(sock: socket.socket, until: float) -> Iterator[None]:
    """Close the connection at that monotonic time and raise TimeoutError.

    A socket's own timeout would start again with each byte that arrives.
    """
    expired = False

    def hang_up() -> None:
        nonlocal expired
        expired = True
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(
        max(0.0, until - time.monotonic()), hang_up
    )  # a greenlet where gevent has patched
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if expired:
            raise TimeoutError
