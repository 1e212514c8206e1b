"""Time-outs of all connections of a worker: two numbers on each, and one sweep that looks at them all.

A gevent timer per wait would cost more than the read that it guards; a sweep over 5,000 connections costs
0.3 ms. Time in which this process stood still is nobody's silence: else a worker that was frozen for a few
seconds would count failures of all its servers.
"""

from __future__ import annotations

import time
from typing import Protocol

from gevent import get_hub

#: How often deadlines are looked at: a time-out comes up to twice this much late, and never early.
SWEEP_SECONDS = 0.25
#: Ended at once, of waits that are overdue: each takes some 30 µs, and one peer may have thousands, …
_ENDED_A_TURN = 64
#: … so the loop goes round, for this long at least, before the next are.
_REST_SECONDS = 0.001


class _Stream(Protocol):
    deadline: float  # of its reader, in monotonic seconds
    write_deadline: float  # of its writer

    def expire(self, now: float) -> None: ...

    def close(self) -> None: ...


class Deadlines:
    """All open streams of a worker, and the sweep that ends waits past their deadline."""

    def __init__(self) -> None:
        self.streams: set[_Stream] = set()
        self.now = time.monotonic() + SWEEP_SECONDS  # as of the next sweep, so that no wait ends early
        self._timer = get_hub().loop.timer(SWEEP_SECONDS, repeat=SWEEP_SECONDS)
        self._timer.start(self._sweep)
        self._swept = 0.0  # when the last sweep was
        self._overdue: list[_Stream] = []  # those it found, whose waits have still to be ended
        self._rest = get_hub().loop.timer(_REST_SECONDS, repeat=_REST_SECONDS)

    def _sweep(self) -> None:
        now = time.monotonic()  # the loop's own clock jumps when the machine's is set
        late, self.now = now - self.now, now + SWEEP_SECONDS
        if late > SWEEP_SECONDS:  # this process had no turn, and what came meanwhile is not read yet
            for stream in self.streams:
                stream.deadline += late
                stream.write_deadline += late
        self._swept = now
        self._overdue = [one for one in self.streams if one.deadline < now or one.write_deadline < now]
        self._end_some()

    def _end_some(self) -> None:
        """End some of the waits that are overdue; in the turns to come the others."""
        for _ in range(_ENDED_A_TURN):
            if not self._overdue:
                self._rest.stop()
                return
            stream = self._overdue.pop()
            if stream in self.streams:  # ending one connection often closes another
                stream.expire(self._swept)
        self._rest.again(self._end_some, update=True)

    def close(self) -> None:
        """Stop sweeping."""
        self._timer.close()
        self._rest.close()
