"""Tries the parser on messages that are known, before clients rely on it. PURE.

A Python that reads patterns wrongly would refuse every request, and nothing else would tell: CPython 3.11.0
to 3.11.4 did so to an earlier version of lb.
"""

from __future__ import annotations

import platform
import sys

from lb.errors import ConfigError, LBError
from lb.proxy.additions import Additions
from lb.proxy.chunks import ChunkDecoder
from lb.proxy.headers import HeaderSettings
from lb.proxy.http1 import HeadParser

_KEPT = b"\r\nHost: lb.example:8080\r\nAccept: */*\r\nX-Empty:\r\nCookie: a=b; c=\xe4"
_REQUEST = (
    b"POST /a/b?c=d HTTP/1.1%b\r\nConnection: keep-alive, TE\r\nTE: trailers\r\nContent-Length: 2\r\n\r\n"
)
_ANSWERED = b"\r\nContent-Type: text/plain\r\nSet-Cookie: a=b\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT"
_RESPONSE = b"HTTP/1.1 200 OK%b\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
_BODY = b"3;x=y\r\nabc\r\n0005\r\ndefgh\r\n0\r\nX-Sum: 1\r\n\r\n"
_FIELDS = 8  # at most in one of these; the configuration may allow fewer


def preflight(settings: HeaderSettings) -> None:
    """Forward one request and its response in memory; ConfigError if that does not come out right."""
    try:
        wrong = _wrong(HeadParser(_FIELDS, settings), Additions(settings))
    except LBError as error:
        wrong = f"refuses what is sound ({error})"
    if wrong:
        program = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
        advice = "no request would be answered; run lb with another version of Python"
        raise ConfigError([f"this Python, {program}, {wrong}: {advice}"])


def _wrong(heads: HeadParser, additions: Additions) -> str:
    """Say what comes out wrong; nothing if all is well."""
    request = heads.request(_REQUEST % _KEPT)
    response = heads.response(_RESPONSE % _ANSWERED, request.method)
    decoder = ChunkDecoder()
    lines = additions.lines(request.fields, request.minor, b"192.0.2.1", trusted=False)
    found = {
        "a request's line": (request.method, request.target) == (b"POST", b"/a/b?c=d"),
        "a request's fields": request.fields.forward == _KEPT + b"\r\nContent-Length: 2",
        "a request's body": request.fields.content_length == 2 and request.keep_alive,
        "what is added to a request": lines.startswith(b"\r\nX-Forwarded-For: 192.0.2.1\r\n"),
        "a response's head": response.status == 200 and _ANSWERED in response.forward,
        "a response's body": response.fields.chunked and response.keep_alive,
        "a chunked body": decoder.decode(_BODY) == (b"abcdefgh", len(_BODY)) and decoder.ended,
        "trailers": decoder.trailers == b"\r\nX-Sum: 1",
    }
    misread = [part for part, right in found.items() if not right]
    return f"misreads {', '.join(misread)}" if misread else ""
