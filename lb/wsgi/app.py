"""The WSGI application: light until a process uses it, then a member of the fleet that forwards."""

# ruff: noqa: PLC0415 (imports inside functions: `Application` says why)

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

    Each process joins the fleet for itself, at its first request or with `start`. Until then the application
    holds nothing that processes cannot share, so a WSGI server may load it first and fork afterwards. It does
    not import urllib3 and redis until then either, unless gevent has already patched the standard library: a
    server may patch it after the fork, and what was imported before that would go unpatched.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        # By process id: a fork copies what belongs to its parent.
        self._forwarders: dict[int, Forwarder] = {}
        self._locks: dict[int, threading.Lock] = {}
        _import_early()

    def __call__(
        self, environ: Mapping[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]
    ) -> Iterable[bytes]:
        """Serve one request."""
        forwarder = self._forwarders.get(os.getpid()) or self.start()
        return forwarder.forward(environ, start_response)

    def start(self) -> Forwarder:
        """Join the fleet, unless this process has done so; return its forwarder."""
        pid = os.getpid()
        # A lock made before a fork may be held for ever, and one made before gevent patches blocks the hub.
        with self._locks.setdefault(pid, threading.Lock()):
            if pid not in self._forwarders:
                self._forwarders[pid] = _join(self._config)
            return self._forwarders[pid]


def _join(config: Config) -> Forwarder:
    from lb.wsgi.forward import join

    return join(config)


def _import_early() -> None:
    """Import what forwarding takes now instead of at the first request, if gevent has already patched."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("socket"):
        import lb.wsgi.forward  # noqa: F401
