"""Accepts clients: one watcher on the listening socket, one greenlet per connection."""

from __future__ import annotations

import errno
import logging
import socket
from _socket import socket as RawSocket  # noqa: N812 (unpatched, and a class to us)
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from greenlet import greenlet

from lb.proxy.stream import Stream

log = logging.getLogger(__name__)

_READ = 1  # libev's EV_READ, as gevent's loop.io takes it
#: Accepted per turn of the loop: more would starve the clients that are already in.
_ACCEPT_BATCH = 16
#: Out of descriptors or memory: wait instead of spinning on a socket that stays readable.
_PAUSE_SECONDS = 0.1
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Takes connections from one listening socket and serves each in a greenlet of its own."""

    def __init__(
        self,
        listener: socket.socket,
        make_stream: Callable[[RawSocket], Stream],
        serve: Callable[[Stream, str], None],
        *,
        max_clients: int,
    ) -> None:
        self._hub = get_hub()
        listener.setblocking(False)
        self._listener: Any = RawSocket(listener.family, listener.type, listener.proto, listener.detach())
        self._family = self._listener.family
        self._make_stream = make_stream
        self._serve = serve
        self._max_clients = max_clients
        self.clients: set[Stream] = set()
        self._full = False
        self._watcher = self._hub.loop.io(self._listener.fileno(), _READ)
        self._pause = self._hub.loop.timer(_PAUSE_SECONDS)

    def start(self) -> None:
        """Begin to accept."""
        self._watcher.start(self._accept)

    def stop(self) -> None:
        """Accept no more; those who are in stay. The socket itself stays open for who shares it."""
        self._full = False  # who leaves from now on makes room for nobody
        self._watcher.close()
        self._pause.close()
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPT_BATCH):
            if len(self.clients) >= self._max_clients:
                self._full = True
                self._watcher.stop()
                return
            try:
                descriptor, address = self._listener._accept()
            except BlockingIOError:
                return  # another worker was faster
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("cannot accept: %s", error.strerror)
                    self._watcher.stop()
                    self._pause.start(self.start)
                    return
                continue  # the client left before it was accepted
            self._admit(descriptor, address)

    def _admit(self, descriptor: int, address: tuple[str, int] | str) -> None:
        sock = RawSocket(self._family, socket.SOCK_STREAM, 0, descriptor)
        sock.setblocking(False)
        host = ""
        if self._family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host = address[0].removeprefix("::ffff:")  # an IPv4 client of a dual-stack socket
        stream = self._make_stream(sock)
        self.clients.add(stream)
        # A bare greenlet: gevent's own adds links and bookkeeping that nobody here needs.
        greenlet(self._run, self._hub).switch(stream, host)

    def _run(self, stream: Stream, host: str) -> None:
        try:
            self._serve(stream, host)
        finally:
            self.clients.discard(stream)
            if self._full:
                self._full = False
                self._watcher.start(self._accept)
