"""Makes the lease line and the meters of a process usable from all of its threads.

Both belong to one hub, to which the other threads pass their calls.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from gevent import Greenlet, get_hub, monkey, spawn
from greenlet import greenlet

from lb.model import ServerId
from lb.proxy.exchange import Meters, Unmetered
from lb.store.lease import Lease
from lb.store.lease_line import LeaseLine

# The system's threads, even where gevent has put greenlets in their place.
_thread_id = monkey.get_original("_thread", "get_ident")
_make_lock = monkey.get_original("_thread", "allocate_lock")


class Leases:
    """Leases for all requests of a process. To be made in the hub that the line belongs to."""

    def __init__(self, line: LeaseLine) -> None:
        hub = get_hub()
        self._line = line
        self._hub = hub
        self._thread = _thread_id()
        self._hand_in = hub.loop.run_callback_threadsafe

    def lease(self, excluded: Collection[ServerId] = ()) -> Lease | None:
        """Pick a server that is not excluded, and count the request; None if no server is eligible."""
        if _thread_id() == self._thread:
            return self._lease_here(excluded)
        wish = _Wish(excluded)
        self._hand_in(self._begin, wish)
        wish.granted.acquire()
        return wish.lease

    def release(self, lease: Lease) -> None:
        """Give a lease back with its outcome."""
        if _thread_id() == self._thread:
            self._line.release(lease)
        else:
            self._hand_in(self._line.release, lease)

    def _lease_here(self, excluded: Collection[ServerId]) -> Lease | None:
        """Have a greenlet of our own wait: applications may interrupt theirs, for example by gevent.Timeout.

        The line would not learn of that, and would switch into the greenlet wherever it waits next.
        """
        waiting = spawn(self._line.lease, excluded)
        try:
            return waiting.get()
        except BaseException:
            waiting.link_value(self._give_back)
            raise

    def _give_back(self, waiting: Greenlet[..., Lease | None]) -> None:
        if waiting.value is not None:
            self._line.release(waiting.value)

    def _begin(self, wish: _Wish) -> None:
        """Start a greenlet that waits for the lease like a request in the hub. Called in the hub."""
        greenlet(partial(self._grant, wish), self._hub).switch()

    def _grant(self, wish: _Wish) -> None:
        try:
            wish.lease = self._line.lease(wish.excluded)
        finally:
            wish.granted.release()


class HandedIn(Unmetered):
    """Meters for the requests of all threads. To be made in the hub of the real meters, their only writer.

    They do not count the connections of clients, which are the WSGI server's.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._thread = _thread_id()
        self._hand_in = get_hub().loop.run_callback_threadsafe

    def answered(self, server: ServerId, status: int, seconds: float) -> None:
        """Count an answer."""
        self._count(self._meters.answered, server, status, seconds)

    def answers(self) -> int:
        """Return how many answers were counted so far."""
        return self._meters.answers()

    def retried(self, server: ServerId) -> None:
        """Count an attempt that was followed by another."""
        self._count(self._meters.retried, server)

    def cut(self, server: ServerId) -> None:
        """Count a response that broke off."""
        self._count(self._meters.cut, server)

    def client_gone(self, server: ServerId) -> None:
        """Count a client that left before the end of its response."""
        self._count(self._meters.client_gone, server)

    def _count(self, count: Callable[..., None], *what: object) -> None:
        if _thread_id() == self._thread:
            count(*what)
        else:
            self._hand_in(count, *what)


class _Wish:
    """A lease that a thread waits for."""

    __slots__ = ("excluded", "granted", "lease")

    def __init__(self, excluded: Collection[ServerId]) -> None:
        self.excluded = excluded
        self.lease: Lease | None = None
        self.granted: Any = _make_lock()
        self.granted.acquire()
