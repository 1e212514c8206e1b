"""Who may be connected to the admin API at the same time: nobody who says nothing keeps others out."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

from lb.config.addresses import is_loopback
from lb.limited_log import LimitedLog
from lb.proxy.descriptors import RESERVE
from lb.proxy.per_address import IPV4_MAPPED, network_of

_limited = LimitedLog(__name__)

#: Connections of this machine, of all others, and of one address (of IPv6: one /64) of those.
LOOPBACK, OTHERS, PER_ADDRESS = 128, 192, 64

_LOOPBACK: Final = "loopback"  # all of its addresses are one


class _Socket(Protocol):
    def shutdown(self, how: int, /) -> None: ...


class Visit:
    """One connection: since when its client is waited for, if it is."""

    __slots__ = ("_clock", "_socket", "key", "waits_since")

    def __init__(self, sock: _Socket, key: str | bytes, clock: Callable[[], float]) -> None:
        self.key = key
        self.waits_since: float | None = clock()
        self._socket = sock
        self._clock = clock

    def waits(self) -> None:
        """Take note that from now on the client is waited for: to send, or to take what is sent."""
        if self.waits_since is None:
            self.waits_since = self._clock()

    def at_work(self) -> None:
        """Take note that its request is worked on."""
        self.waits_since = None

    def end(self) -> None:
        """End the connection; its reader and its writer get an error."""
        with suppress(OSError):  # the client has ended it
            self._socket.shutdown(socket.SHUT_RDWR)


class Gate:
    """Lets connections in. Where there is no room, the one that waits for its client longest makes room."""

    def __init__(
        self,
        *,
        loopback: int = LOOPBACK,
        others: int = OTHERS,
        per_address: int = PER_ADDRESS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._loopback = loopback
        self._others = others
        self._per_address = per_address
        self._clock = clock
        self._visits: dict[Visit, None] = {}

    @classmethod
    def within(cls, open_files: int) -> Gate:
        """Make one for a process that may have `open_files` files open, its own included."""
        free = max(8, open_files - RESERVE)
        others = min(OTHERS, free // 2)
        return cls(
            loopback=min(LOOPBACK, free // 2), others=others, per_address=min(PER_ADDRESS, others // 2)
        )

    def enter(self, sock: _Socket, host: str) -> Visit | None:
        """Let a connection in; None if there is no room, and each that is there is at work."""
        host = host.removeprefix(IPV4_MAPPED)
        key = _LOOPBACK if is_loopback(host) else network_of(host)
        same = [visit for visit in self._visits if visit.key == key]
        if len(same) >= (self._loopback if key == _LOOPBACK else self._per_address):
            if not self._make_room(same, host):
                return None
        elif key != _LOOPBACK:
            others = [visit for visit in self._visits if visit.key != _LOOPBACK]
            if len(others) >= self._others and not self._make_room(others, host):
                return None
        visit = Visit(sock, key, self._clock)
        self._visits[visit] = None
        return visit

    def leave(self, visit: Visit) -> None:
        """Take note that a connection has ended."""
        self._visits.pop(visit, None)

    def _make_room(self, visits: Collection[Visit], host: str) -> bool:
        waiting = [visit for visit in visits if visit.waits_since is not None]
        if not waiting:
            _limited.warning(
                "admin API: %d connections are all at work, one of %s is refused", len(visits), host
            )
            return False
        _limited.warning(
            "admin API: %d connections, the one that was silent for longest is closed for one of %s",
            len(visits),
            host,
        )
        longest = min(waiting, key=lambda visit: visit.waits_since or 0.0)
        del self._visits[longest]
        longest.end()
        return True
