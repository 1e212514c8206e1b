"""Connects to a store by its URL."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.retry import Retry

from lb.config.store_url import Engine, StoreUrl, parse_store_url
from lb.errors import UsageError
from lb.store.engines.cluster import ClusterNodes
from lb.store.engines.finder import ASK_SECONDS, MOVE, Finder, FoundConnection, FoundTlsConnection
from lb.store.engines.sentinel import Sentinels
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.metrics import Metrics
from lb.store.outbox import Outbox
from lb.store.pool import BackendPool

DEFAULT_TIMEOUT_SECONDS = 2.0
_NO_LIMIT = 2**31  # redis-py's own is 100, and the API may serve more clients than that at once


def connect(
    url: str, keys: Keys | None = None, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
) -> redis.Redis:
    """Make a client for a store, which connects with its first command; UsageError if the URL is unusable.

    In a cluster the client talks to the node that holds `keys`, by default those of the default pool.

    A command is sent at most once. After a lost connection nobody knows whether an act was done, and a second
    `add` or `remove` would be refused.
    """
    try:
        place = parse_store_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from error
    settings = _settings(place, timeout_seconds)
    finder: Finder
    match place.engine:
        case Engine.SOCKET:
            pool = ConnectionPool(UnixDomainSocketConnection, path=place.path, **settings)
        case Engine.SERVER:
            ((host, port),) = place.hosts
            pool = ConnectionPool(
                SSLConnection if place.tls else Connection, host=host, port=port, **settings
            )
        case Engine.SENTINEL:
            finder = Sentinels(place, _sentinel_settings(place, timeout_seconds))
            pool = _found(finder, place, settings)
        case Engine.CLUSTER:
            asking = {**_settings(place, min(timeout_seconds, ASK_SECONDS)), "ssl": place.tls}
            finder = ClusterNodes(place, asking, keys or Keys())
            pool = _found(finder, place, settings)
    return redis.Redis.from_pool(pool)


def open_pool(url: str, keys: Keys, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> BackendPool:
    """Make the BackendPool of a store; UsageError if the URL is unusable, as for all functions here."""
    return BackendPool(connect(url, keys, timeout_seconds=timeout_seconds), keys)


def open_fleet(url: str, keys: Keys, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Fleet:
    """Make the Fleet of a store."""
    return Fleet(connect(url, keys, timeout_seconds=timeout_seconds), keys)


def open_outbox(url: str, keys: Keys) -> Outbox:
    """Make the Outbox of a store."""
    return Outbox(connect(url, keys), keys)


def open_metrics(url: str, keys: Keys, *, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> Metrics:
    """Make the Metrics of a store."""
    return Metrics(connect(url, keys, timeout_seconds=timeout_seconds), keys)


def _found(finder: Finder, place: StoreUrl, settings: dict[str, Any]) -> ConnectionPool:
    kind = FoundTlsConnection if place.tls else FoundConnection
    return ConnectionPool(kind, finder=finder, **{**settings, "retry": MOVE})


def _settings(place: StoreUrl, timeout_seconds: float) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "db": place.db,
        "username": place.username,
        "password": place.password,
        "decode_responses": True,
        "encoding_errors": "backslashreplace",  # lb writes UTF-8; others may write anything
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": _NO_LIMIT,
        "protocol": 2,  # every server speaks it, and scripts reply the same in both
    }
    return {**settings, **_tls(place)} if place.tls else settings


def _sentinel_settings(place: StoreUrl, timeout_seconds: float) -> dict[str, Any]:
    """Return how to connect to the sentinels: as to the store, except where the URL says otherwise."""
    tls = place.options.get("sentinel_tls", str(place.tls).lower()) == "true"
    return {
        **_settings(place, min(timeout_seconds, ASK_SECONDS)),
        "db": 0,
        "username": place.options.get("sentinel_username"),
        "password": place.options.get("sentinel_password"),
        "ssl": tls,
        **(_tls(place) if tls else {}),
    }


def _tls(place: StoreUrl) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: value for name, value in place.options.items() if name.startswith("ssl_")
    }
    if check := options.get("ssl_check_hostname"):
        options["ssl_check_hostname"] = check == "true"
    return options
