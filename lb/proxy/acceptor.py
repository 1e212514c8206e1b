"""Accepts clients: one watcher on the listening socket, one greenlet per connection."""

from __future__ import annotations

import errno
import socket
from _socket import socket as RawSocket  # noqa: N812 (unpatched, and a class to us)
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gevent import get_hub
from greenlet import getcurrent, greenlet

from lb.limited_log import LimitedLog
from lb.proxy.exchange import Meters
from lb.proxy.per_address import IPV4_MAPPED, PerAddress
from lb.proxy.stream import Stream
from lb.proxy.turns import STAND_BACK_SECONDS, Turns

_limited = LimitedLog(__name__)

_READ = 1  # libev's EV_READ, as gevent's loop.io takes it
#: Greenlets kept for later clients when theirs have left. A new one costs 4 µs of a connection's 60: the
#: interpreter maps 16 KiB for its frames, and unmaps them when it ends.
_IDLE_GREENLETS = 64
#: Out of descriptors or memory: wait instead of spinning on a socket that stays readable.
_PAUSE_SECONDS = 0.1
#: Full, and nobody is idle: look again after this time.
_LOOK_SECONDS = 0.25
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Takes connections from one listening socket and serves each in a greenlet of its own while it lasts."""

    def __init__(  # noqa: PLR0913 (the parts of a data plane)
        self,
        listener: socket.socket,
        make_stream: Callable[[RawSocket], Stream],
        serve: Callable[[Stream, str], None],
        meters: Meters,
        *,
        make_room: Callable[[], Stream | None],
        press: Callable[[bool], object],
        clients: set[Stream],
        max_clients: int,
        per_address: PerAddress | None = None,
        turn_away: Callable[[Stream], object] = bool,
    ) -> None:
        """Accept up to `max_clients`, and `per_address`; connections beyond that go to `turn_away`.

        `make_room` closes a client that is idle and returns it; `press` learns whether others wait.
        """
        self._hub = get_hub()
        listener.setblocking(False)
        self._listener: Any = RawSocket(listener.family, listener.type, listener.proto, listener.detach())
        self._family = self._listener.family
        self._make_stream = make_stream
        self._serve = serve
        self._max_clients = max_clients
        self._meters = meters
        self._turns = Turns(meters)
        self._make_room = make_room
        self._press = press
        self._per_address = per_address
        self._turn_away = turn_away
        self.clients = clients
        self._full = False
        meters.max_clients = max_clients
        self._idle: list[greenlet] = []
        loop = self._hub.loop
        self._watcher = loop.io(self._listener.fileno(), _READ)
        # Started by `again`, which needs `repeat`: one that has fired would fire at once if started anew.
        self._pause = loop.timer(_PAUSE_SECONDS, repeat=_PAUSE_SECONDS)
        self._look = loop.timer(_LOOK_SECONDS, repeat=_LOOK_SECONDS)  # for clients that have become idle
        self._stand_back = loop.timer(STAND_BACK_SECONDS, repeat=STAND_BACK_SECONDS)

    def start(self) -> None:
        """Begin to accept."""
        self._meters.accepting = True
        self._full = False
        self._press(False)
        self._pause.stop()
        self._look.stop()
        self._watcher.start(self._accept)

    def let_in(self) -> None:
        """Accept all who wait: when the last who shares the socket closes it, the kernel resets them.

        To be called in the hub.
        """
        with suppress(OSError):  # nobody waits any more, or there is no room
            while self._meters.accepting and len(self.clients) < self._max_clients:
                self._admit(*self._listener._accept())

    def stop(self) -> None:
        """Accept no more; those who are in stay. The socket itself stays open for who shares it."""
        self._meters.accepting = False
        self._full = False  # who leaves from now on makes room for nobody
        for watcher in (self._watcher, self._pause, self._look, self._stand_back):
            watcher.close()
        self._listener.close()
        self._idle.clear()  # they end

    def _rest(self) -> None:
        """Take no client until `start`."""
        self._meters.accepting = False
        self._watcher.stop()

    def _accept(self) -> None:
        room = self._turns.room(len(self.clients))
        if not room:
            self._watcher.stop()
            self._stand_back.again(self._take_left_over, update=True)
        elif len(self.clients) >= self._max_clients and not self._made_room():
            self._wait_for_room()
            return
        for _ in range(room):
            try:
                descriptor, address = self._listener._accept()
            except BlockingIOError:
                self._turns.none_waits()
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    _limited.warning("cannot accept: %s", error.strerror)
                    self._rest()
                    self._pause.again(self.start, update=True)
                    return
                continue  # the client left before it was accepted
            self._admit(descriptor, address)
            if len(self.clients) >= self._max_clients:
                return  # if others wait, this is called again

    def _made_room(self) -> bool:
        """Let a client that waits take the place of one that is idle."""
        closed = self._make_room()
        if closed is None:
            return False
        _limited.warning(
            "limits.clients: %d clients are connected, idle ones are closed to let others in",
            self._max_clients,
        )
        self._meters.closed_idle()
        self.clients.discard(closed)
        return True

    def _wait_for_room(self) -> None:
        """Take no client until one leaves, as those that are served do after one more response."""
        _limited.warning(
            "limits.clients: %d clients are connected, and none is idle: others wait", self._max_clients
        )
        self._full = True
        self._press(True)
        self._rest()
        self._look.again(self.start, update=True)

    def _take_left_over(self) -> None:
        self._stand_back.stop()
        self._turns.stood_back()
        self._watcher.start(self._accept)
        self._accept()

    def _admit(self, descriptor: int, address: tuple[str, int] | str) -> None:
        sock = RawSocket(self._family, socket.SOCK_STREAM, 0, descriptor)
        sock.setblocking(False)
        host = ""
        if self._family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host = address[0].removeprefix(IPV4_MAPPED)
        stream = self._make_stream(sock)
        self.clients.add(stream)
        self._meters.accepted()
        self._meters.clients = len(self.clients)
        if self._per_address is not None and not self._per_address.enter(host):
            self._refuse(stream, host, self._per_address.most)
            return
        # A bare greenlet: gevent's own adds links and bookkeeping that nobody here needs.
        runner = self._idle.pop() if self._idle else greenlet(self._run, self._hub)
        runner.switch(stream, host)

    def _refuse(self, stream: Stream, host: str, most: int) -> None:
        _limited.warning("limits.clientsPerAddress: %s has %d connections, more are answered 429", host, most)
        self._meters.refused()
        greenlet(self._run_refusal, self._hub).switch(stream)

    def _run_refusal(self, stream: Stream) -> None:
        try:
            self._turn_away(stream)
        finally:
            self.clients.discard(stream)
            self._meters.clients = len(self.clients)
            if self._full:
                self.start()

    def _run(self, stream: Stream, host: str) -> None:
        while True:
            try:
                self._serve(stream, host)
            finally:
                self.clients.discard(stream)
                self._meters.clients = len(self.clients)
                if self._per_address is not None:
                    self._per_address.leave(host)
                if self._full:
                    self.start()
            del stream  # else it would be kept until the next client comes
            if len(self._idle) >= _IDLE_GREENLETS or not self._meters.accepting:
                return
            self._idle.append(getcurrent())
            stream, host = self._hub.switch()
