"""The balancer's own responses: what a client gets when no server's response can be forwarded."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time

from lb.errors import ClientError, LBError

_REASONS = {
    502: "no server gave a usable answer",
    503: "no server is available now",
    504: "the server did not answer in time",
}

#: As RFC 9110 §15 has them; the library's are older.
_PHRASES = {413: "Content Too Large", 414: "URI Too Long"}


def own_response(
    status: int, reason: str, *, head: bool = False, retry_after_seconds: int = 0, lines: bytes = b""
) -> bytes:
    """Return a whole response that closes the connection; without its body for HEAD.

    `lines` are further fields, each with the CR LF before it.
    """
    phrase = _PHRASES.get(status) or HTTPStatus(status).phrase
    body = f"{status} {phrase}: {reason}\n".encode()
    fields = [
        f"HTTP/1.1 {status} {phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if retry_after_seconds:
        fields.append(f"Retry-After: {retry_after_seconds}")
    text = "\r\n".join(fields).encode() + date_line() + lines + b"\r\n\r\n"
    return text if head else text + body


def date_line() -> bytes:
    """Return a Date field that says now, with the CR LF before it (RFC 9110 §6.6.1)."""
    return _date_line(int(time()))


@lru_cache(maxsize=1)  # 0.2 µs instead of 3
def _date_line(second: int) -> bytes:
    return b"\r\nDate: %b" % formatdate(second, usegmt=True).encode()


def explanation_of(error: LBError) -> str:
    """Tell a client what is wrong with its request, and of our servers no more than it must know."""
    return str(error) if isinstance(error, ClientError) else _REASONS.get(error.status, "try again")
