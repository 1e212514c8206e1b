"""Who may use the API: with a token, whoever sends it; without one, this machine only, and no foreign page.

A browser on this machine reaches the API too, and would send requests on behalf of any page that is open in
it. Three rules prevent that. The Host header must name this machine, which a page that rebinds its own name
to 127.0.0.1 cannot achieve. A write must not carry the Origin of another site. And a write must declare JSON,
which a page cannot do for another site without a preflight request.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized, UnsupportedMediaType

from lb.config.addresses import is_loopback

#: These need no token: the liveness check, and the dashboard's files, which reveal nothing of the pool.
_OPEN_PATHS = frozenset({"/health", "/"})
_OPEN_FOLDER = "/static/"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one API process."""

    token: str | None = None
    listen_host: str = "127.0.0.1"  # the address it listens on; a legitimate Host, as the loopback names are
    read_token: str | None = None  # whoever sends it may read, but change nothing; used only with a `token`

    def check(self, request: Request) -> None:
        """Raise an HTTP exception, which becomes the answer, if a request is not allowed."""
        if self.token is not None:
            self._check_token(request)
        else:
            self._check_host(request)
            _check_origin(request)
        if request.method in _WITH_BODY and not request.is_json:
            raise UnsupportedMediaType("writes need the header 'Content-Type: application/json'")

    def may_write(self, request: Request) -> bool:
        """Whether a request that is allowed might also change the pool."""
        return self.token is None or _carries(request, self.token)

    def _check_token(self, request: Request) -> None:
        if request.path in _OPEN_PATHS or request.path.startswith(_OPEN_FOLDER) or self.may_write(request):
            return
        if self.read_token is None or not _carries(request, self.read_token):
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
    """Return the host of `host:port`, without brackets; empty if that is malformed."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def _carries(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), token.encode())
    return matches and scheme.lower() == "bearer"


def _check_origin(request: Request) -> None:
    origin = request.headers.get("Origin")
    if request.method in _READS or origin is None:
        return
    if _netloc_of(origin) != request.environ.get("HTTP_HOST", "").lower():
        raise Forbidden(f"a page of {origin!r} may not change this pool")


def _netloc_of(origin: str) -> str:
    """Return the `host:port` of an Origin header; empty if it has none or is malformed."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
