"""What went wrong with a request of our own, in a few words for people."""

from __future__ import annotations

import socket
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected

from urllib3.exceptions import HTTPError

#: Exceptions in words. The first that fits counts, so special ones come before general ones.
_DETAILS: tuple[tuple[type[Exception], str], ...] = (
    (ConnectionRefusedError, "connection refused"),
    (RemoteDisconnected, "connection closed without an answer"),
    (ConnectionError, "connection reset"),
    (socket.gaierror, "host name not found"),
    (BadStatusLine, "the answer is not HTTP"),
    (IncompleteRead, "the body was cut off"),
    (HTTPException, "the answer is not valid HTTP"),
)

#: Errors of look-ups that say that there is no such name; the others are for want of an answer.
NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

#: What a server of TLS says to a request in plain text: an alert (RFC 8446 §5.1, §6).
_TLS_ALERT = "\x15\x03"


def words(error: Exception, timeout_seconds: float) -> str:
    """Say in a few words what went wrong."""
    cause = cause_of(error)
    if isinstance(cause, TimeoutError):
        return f"timed out after {timeout_seconds:g} s"
    if isinstance(cause, BadStatusLine) and str(*cause.args[:1]).startswith(_TLS_ALERT):
        return "the answer is TLS, not plain HTTP"
    if isinstance(cause, socket.gaierror) and cause.errno not in NO_SUCH_NAME:
        return "name server does not answer"
    for kind, detail in _DETAILS:
        if isinstance(cause, kind):
            return detail
    return ((isinstance(cause, OSError) and cause.strerror) or str(cause) or type(cause).__name__).lower()


def cause_of(error: Exception) -> BaseException:
    """Return the telling one of the exceptions that urllib3's wrap."""
    cause: BaseException = error
    while isinstance(cause, HTTPError) and (inner := _inner(cause)):
        cause = inner
    return cause


def _inner(error: HTTPError) -> BaseException | None:
    """Return what an exception of urllib3 wraps, as its cause or as an argument; None if it wraps nothing."""
    return error.__cause__ or next((part for part in error.args if isinstance(part, BaseException)), None)
