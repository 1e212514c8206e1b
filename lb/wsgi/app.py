"""The WSGI application: light until a process uses it, then a member of the fleet that forwards."""

# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lb.config import Config

if TYPE_CHECKING:
    from lb.wsgi.forward import Forwarder


class Application:
    """Forwards what it is called with (PEP 3333).

    Each process joins the fleet for itself, at its first request or with `start`. Nothing that cannot be
    shared is made before, so a server may load the application and then fork. Nor are urllib3 and redis
    imported before, unless gevent has patched the standard library already: it may do so after the fork.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pid = 0
        self._forwarder: Forwarder | None = None
        self._locks: dict[int, threading.Lock] = {}
        _import_early()

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
                self._forwarder = _join(self._config)
                self._pid = pid
            return self._forwarder


def _join(config: Config) -> Forwarder:
    from lb.wsgi.forward import join

    return join(config)


def _import_early() -> None:
    """Load now, and not at the first request, what forwarding takes, if gevent has patched already."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("socket"):
        import lb.wsgi.forward  # noqa: F401
