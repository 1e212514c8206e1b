"""Who may use the API. With a token: whoever sends it. Without: this machine only, and no foreign web page.

A browser on this machine can reach the API too, and would carry the wishes of any page that is open in it.
Three rules stop that: the Host must name this machine (a page that rebinds its own name to 127.0.0.1 cannot
send that), a write must not carry another site's Origin, and a write must declare JSON, which a page cannot
do for another site without asking first.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized, UnsupportedMediaType

from lb.config.addresses import is_loopback

#: Need no token: liveness checks of orchestrators, and the dashboard's files, which tell nothing of the pool.
_OPEN_PATHS = frozenset({"/health", "/"})
_OPEN_FOLDER = "/static/"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one API process."""

    token: str | None = None
    listen_host: str = "127.0.0.1"  # the address it listens on, a legitimate Host besides the loopback names
    read_token: str | None = None  # whoever sends it may look, and change nothing; needs a `token` beside it

    def check(self, request: Request) -> None:
        """Raise the HTTP exception that answers a request which is not allowed."""
        if self.token is not None:
            self._check_token(request)
        else:
            self._check_host(request)
            _check_origin(request)
        if request.method in _WITH_BODY and not request.is_json:
            raise UnsupportedMediaType("writes need the header 'Content-Type: application/json'")

    def may_write(self, request: Request) -> bool:
        """Whether the sender of a request, if let in, may also change the pool."""
        return self.token is None or _brings(request, self.token)

    def _check_token(self, request: Request) -> None:
        if request.path in _OPEN_PATHS or request.path.startswith(_OPEN_FOLDER) or self.may_write(request):
            return
        if self.read_token is None or not _brings(request, self.read_token):
            raise Unauthorized(
                "the token is missing or wrong; send 'Authorization: Bearer <admin.token of the config>'",
                www_authenticate=WWWAuthenticate("bearer", {"realm": "lb"}),
            )
        if request.method not in _READS:
            raise Forbidden("this token may only read; changes need admin.token of the config")

    def _check_host(self, request: Request) -> None:
        host = host_name(request.environ.get("HTTP_HOST", ""))
        if host != self.listen_host and not is_loopback(host):
            raise Forbidden(
                f"the Host header says {host!r}; without an admin token the API answers only to "
                "localhost, a loopback address, or the address that it listens on"
            )


def host_name(netloc: str) -> str:
    """Return the host of `host:port`, without brackets; empty if it is malformed."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _brings(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), token.encode())
    return matches and scheme.lower() == "bearer"


def _check_origin(request: Request) -> None:
    origin = request.headers.get("Origin")
    if request.method in _READS or origin is None:
        return
    if urlsplit_netloc(origin) != request.environ.get("HTTP_HOST", "").lower():
        raise Forbidden(f"a page of {origin!r} may not change this pool")


def urlsplit_netloc(origin: str) -> str:
    """Return `host:port` of an Origin header; empty if it has none or is malformed."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
