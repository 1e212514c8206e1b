"""Connections to the store by URL."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lb.errors import UsageError
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool

SCHEMES = ("redis", "rediss", "unix")
DEFAULT_TIMEOUT_SECONDS = 2.0

_USER_PASSWORD = re.compile(r"(?<=://)([^:@/]*):.*@")
_QUERY_PASSWORD = re.compile(r"([?&]password=)[^&]*")


def connect(url: str, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> redis.Redis:
    """Make a client for a store; it connects at its first command. UsageError if the URL is unusable.

    A command is sent at most once: after a lost connection nobody knows whether an act was done, and the
    second `add` or `remove` would be refused.
    """
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise UsageError(
            f"{masked(url)} is not the URL of a store: it starts with {', '.join(f'{s}://' for s in SCHEMES)}"
        )
    try:
        return redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # every server speaks it, and scripts reply the same in both
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"{masked(url)} is not the URL of a store: {error}") from error


def open_pool(url: str, keys: Keys, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> BackendPool:
    """Make the BackendPool of a store."""
    return BackendPool(connect(url, timeout_seconds=timeout_seconds), keys)


def open_fleet(url: str, keys: Keys, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Fleet:
    """Make the Fleet of a store."""
    return Fleet(connect(url, timeout_seconds=timeout_seconds), keys)


def masked(url: str) -> str:
    """Return the URL with `***` for its password, to show it to people."""
    return _QUERY_PASSWORD.sub(r"\1***", _USER_PASSWORD.sub(r"\1:***@", url))
