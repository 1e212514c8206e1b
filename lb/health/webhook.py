"""The webhook's messages: one event, posted as signed JSON, and what the receiver makes of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.client import HTTPException, responses
from urllib.request import getproxies, proxy_bypass

import gevent
from urllib3 import PoolManager, ProxyManager, make_headers
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from lb import __version__
from lb.config import Webhook
from lb.health.words import words
from lb.model import Event

#: Refusals that may pass; any other 4xx and every redirect will be the same the next time.
_PASSING_STATUSES = frozenset({408, 429})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message was not taken."""

    reason: str
    final: bool  # whether trying again is of no use


class Receiver:
    """Where the webhook's messages go: one POST each, on a connection of its own.

    What it waits for must be gevent's, as the time-out is that of a greenlet.
    """

    def __init__(
        self, url: str, settings: Webhook, pool: str, clock: Callable[[], float] = time.time
    ) -> None:
        place = parse_url(url)
        self.name = place.netloc or ""  # for logs: what stands behind it may be secret
        self._url = url
        self._secret = settings.secret
        self._timeout_seconds = settings.timeout_seconds
        self._clock = clock
        self._from = {"pool": pool, "host": socket.gethostname()}
        self._client = _client(place.scheme or "", self.name)

    def tell(self, event: Event) -> Refusal | None:
        """Post one event; None if the receiver took it. Never raises: whatever goes wrong is a refusal."""
        body = json.dumps({**asdict(event), **self._from}).encode()
        try:
            # Over all of it: a socket's own time-out begins anew with each byte that drips in. No OSError,
            # as urllib3 would take it for the end of one address and try the next.
            with gevent.Timeout(self._timeout_seconds):
                status = self._post(body)
        except gevent.Timeout:
            return Refusal(words(TimeoutError(), self._timeout_seconds), final=False)
        except (OSError, HTTPException, HTTPError) as error:
            return Refusal(words(error, self._timeout_seconds), final=False)
        return _verdict(status)

    def _post(self, body: bytes) -> int:
        """Return the status of the answer, of which only the head is read: at most 100 fields."""
        response = self._client.urlopen(
            "POST",
            self._url,
            body=body,
            headers=self._headers(body),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        response.close()
        return response.status

    def _headers(self, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"lb-webhook/{__version__}",
            "Connection": "close",
            "X-LB-Timestamp": timestamp,
        }
        if self._secret is not None:
            headers["X-LB-Signature"] = f"sha256={signature(self._secret, timestamp, body)}"
        return headers


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the hexadecimal HMAC-SHA256 of `timestamp.body`: proof of who wrote it, and when."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _verdict(status: int) -> Refusal | None:
    if 200 <= status <= 299:
        return None
    final = 300 <= status <= 499 and status not in _PASSING_STATUSES
    return Refusal(f"status {status} {responses.get(status, '')}".rstrip(), final)


def _client(scheme: str, netloc: str) -> PoolManager:
    """Make a client that goes by the proxy that the environment names for this receiver, if any."""
    proxy = "" if proxy_bypass(netloc) else getproxies().get(scheme, "")
    if not proxy:
        return PoolManager()
    login = parse_url(proxy).auth
    return ProxyManager(proxy, proxy_headers=make_headers(proxy_basic_auth=login) if login else None)
