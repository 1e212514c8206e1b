"""The WSGI application: light until a process uses it, then a member of the fleet that forwards."""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lb.config import Config

if TYPE_CHECKING:
    from lb.wsgi.forward import Forwarder


class Application:
    """Forwards what it is called with (PEP 3333).

    Each process joins the fleet for itself, at its first request or with `start`. Nothing that cannot be
    shared is made before, so a server may load the application and then fork; and urllib3 and redis are
    imported only then, so gevent may patch the standard library in between.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pid = 0
        self._forwarder: Forwarder | None = None
        self._locks: dict[int, threading.Lock] = {}

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Serve one request."""
        forwarder = self._forwarder
        if forwarder is None or self._pid != os.getpid():
            forwarder = self.start()
        return forwarder.forward(environ, start_response)

    def start(self) -> Forwarder:
        """Join the fleet, if this process has not yet."""
        pid = os.getpid()
        # A lock that was made before the fork may be held for ever, and one before patching blocks the hub.
        with self._locks.setdefault(pid, threading.Lock()):
            if self._forwarder is None or self._pid != pid:
                self._forwarder = _forwarder(self._config)
                self._pid = pid
            return self._forwarder


def _forwarder(config: Config) -> Forwarder:
    from lb.proxy.http1 import HeadParser
    from lb.proxy.plane import header_settings
    from lb.proxy.servers import Servers
    from lb.wsgi.connections import Connections, ConnectionSettings
    from lb.wsgi.forward import Forwarder
    from lb.wsgi.membership import join

    heads = HeadParser(config.limits.header_count, header_settings(config))
    settings = ConnectionSettings(
        connect_seconds=config.timeouts.connect_seconds,
        response_head_seconds=config.timeouts.response_head_seconds,
        idle_seconds=config.timeouts.idle_seconds,
        max_idle=config.limits.idle_connections_per_server,
        head_bytes=config.limits.header_bytes,
    )
    servers = Servers(lambda server: Connections(server, heads, settings))
    place = join(config, servers.keep_only)
    return Forwarder(config, place.leases, servers, place.meters)
