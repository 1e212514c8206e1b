"""The `http` check: one request on a new connection, judged by the status of the response."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import (
    BadStatusLine,
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    RemoteDisconnected,
    responses,
)

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from lb import __version__
from lb.config import HealthCheck
from lb.health.names import Names, Place
from lb.model import Check, Server

_HEADERS = {"User-Agent": f"lb-health-checker/{__version__}", "Accept": "*/*", "Connection": "close"}

#: How much of the body is read. Health pages are shorter, and of a longer response this much is enough.
_BODY_BYTES = 64 * 1024

_names = Names()  # of all checks, as a look-up may outlast the one that began it

#: Exceptions in words for people. The first that fits counts, so special ones come before general ones.
_DETAILS: tuple[tuple[type[Exception], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (RemoteDisconnected, "connection closed without an answer"),
    (ConnectionError, "connection reset"),
    (socket.gaierror, "host name not found"),
    (BadStatusLine, "the answer is not HTTP"),
    (IncompleteRead, "the body was cut off"),
    (HTTPException, "the answer is not valid HTTP"),
)


def check(server: Server, settings: HealthCheck) -> Check:
    """Check the server once: its name is looked up, and it answers, within `settings.timeout_seconds`.

    Never raises: whatever goes wrong is the outcome.
    """
    started = time.monotonic()
    until = started + settings.timeout_seconds
    status = problem = None
    try:
        with closing(_connect(server, until)) as connection, _deadline(connection.sock, until):
            connection.request(settings.method, settings.path, headers=_HEADERS, preload_content=False)
            with connection.getresponse() as response:
                status = response.status
                _read_some(response)
    except (OSError, HTTPException, HTTPError) as error:
        problem = words(error, settings.timeout_seconds)
    passed, detail = _verdict(status, problem, settings)
    return Check(passed, status is not None, detail, time.monotonic() - started)


def _verdict(status: int | None, problem: str | None, settings: HealthCheck) -> tuple[bool, str]:
    if status is None:
        return False, problem or ""
    if not settings.expects(status):
        return False, f"status {status} (expected {', '.join(map(str, settings.expect))})"
    if problem:
        return False, f"status {status}, then {problem}"
    return True, f"{status} {responses.get(status, '')}".rstrip()


class _Response(HTTPResponse):
    """Steps over interim responses such as 103 (Early Hints), of which the base class knows only 100.

    A response without a body ends at its empty line, whatever its fields say (RFC 9112 §6.3, 1): the base
    class would wait for the chunks of a 204, and urllib3 refuses some lengths.
    """

    def begin(self) -> None:
        super().begin()
        while 102 <= self.status <= 199:
            self.headers = None  # type: ignore[assignment]  # so it begins anew
            super().begin()
        if self._method == "HEAD" or self.status in {204, 304}:  # type: ignore[attr-defined]
            del self.headers["Content-Length"], self.headers["Transfer-Encoding"]
            self.chunked, self.length = False, 0


def _connect(server: Server, until: float) -> HTTPConnection:
    """Connect to the server, before that monotonic time."""
    places: list[Place]
    if server.url.startswith("unix:"):
        connection = HTTPConnection("localhost")  # what Host says, as such servers have no name
        places = [(socket.AF_UNIX, server.url.removeprefix("unix:"))]
    else:
        url = parse_url(server.url)
        host = (url.host or "").strip("[]")  # an IPv6 address gets its brackets in Host again
        connection = HTTPConnection(host, url.port)
        places = _names.places(host, connection.port, until - time.monotonic())
    connection.response_class = _Response
    connection.sock = _dial(places, until)
    return connection


def _dial(places: list[Place], until: float) -> socket.socket:
    """Connect to the first place that can be reached; each gets an equal share of the time that is left."""
    problem = OSError()
    for left, place in zip(range(len(places), 0, -1), places, strict=True):
        try:
            return _dialed(place, max(0.001, until - time.monotonic()) / left)
        except OSError as error:
            problem = error
    raise problem


def _dialed(place: Place, seconds: float) -> socket.socket:
    family, address = place
    sock = socket.socket(family)
    try:
        sock.settimeout(seconds)
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

    A socket's own timeout would start anew with each byte that arrives.
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


def words(error: Exception, timeout_seconds: float) -> str:
    """Say in a few words what went wrong; urllib3's exceptions wrap the telling one."""
    cause: BaseException = error
    while isinstance(cause, HTTPError) and (inner := _inner(cause)):
        cause = inner
    if isinstance(cause, TimeoutError):
        return f"timed out after {timeout_seconds:g} s"
    for kind, detail in _DETAILS:
        if isinstance(cause, kind):
            return detail
    return ((isinstance(cause, OSError) and cause.strerror) or str(cause) or type(cause).__name__).lower()


def _inner(error: HTTPError) -> BaseException | None:
    """Return what an exception of urllib3 wraps, as its cause or as an argument; None if it wraps nothing."""
    return error.__cause__ or next((part for part in error.args if isinstance(part, BaseException)), None)
