"""Fairness where gevent hosts the application: there a greenlet whose peers are always ready never waits.

Threads need none of it: the system gives each its turn.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from gevent import monkey

from lb.proxy.fairness import RECEIVE_COST, TURN_BYTES, go_round

_LEAST_BYTES: Final = 64
#: A read that took less than this may be twice as large the next time; …
_SHORT_SECONDS: Final = 0.0005
#: … after one that took longer than this, whatever for, the next is a quarter.
_LONG_SECONDS: Final = 0.002


def hosted_by_gevent() -> bool:
    """Whether greenlets share this process."""
    return bool(monkey.is_module_patched("socket"))


class Turns:
    """Counts what was done with one response, as `lb.proxy.fairness` does."""

    __slots__ = ("_spent",)

    def __init__(self) -> None:
        self._spent = 0

    def spend(self, size: int) -> None:
        """Count a piece of `size` bytes; now and then let others have their turn."""
        self._spent += size + RECEIVE_COST
        if self._spent >= TURN_BYTES:
            self._spent = 0
            if hosted_by_gevent():
                go_round()


class ReadSize:
    """How much of a request's body to ask for, and a turn for the others behind each read.

    The server parses what it is asked for without a pause, however many chunks that are: 64 KiB in chunks of
    one byte take 0.3 s, and with long extensions 6 s. That is not known before, so it begins with little.
    """

    __slots__ = ("_began", "_bytes", "_clock", "_most")

    def __init__(self, most: int, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._bytes = _LEAST_BYTES if hosted_by_gevent() else most
        self._began = 0.0

    def begin(self) -> int:
        """Return the size of the next read, which begins now."""
        self._began = self._clock()
        return self._bytes

    def end(self) -> None:
        """Learn from the time that it took."""
        if not hosted_by_gevent():
            return
        seconds = self._clock() - self._began
        if seconds > _LONG_SECONDS:
            self._bytes = max(self._bytes // 4, _LEAST_BYTES)
        elif seconds < _SHORT_SECONDS:
            self._bytes = min(2 * self._bytes, self._most)
        go_round()
