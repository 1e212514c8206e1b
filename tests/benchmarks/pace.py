"""How fast a core runs: on a shared host at half its speed for seconds, and nothing in the guest tells."""

from __future__ import annotations

import os
import time

_TRIES, _TURNS = 10, 60_000  # half a millisecond each


class Pace:
    """Compares a core with the fastest seen so far, by a fixed piece of work that needs no memory."""

    def __init__(self) -> None:
        self._quickest = float("inf")

    def slowed(self, *cores: int) -> float:
        """Return how much longer the work takes now on the slowest of them: 0.5 is half as long again."""
        seconds = [_work_seconds(core) for core in cores]
        self._quickest = min(self._quickest, *seconds)
        return max(seconds) / self._quickest - 1


def _work_seconds(core: int) -> float:
    """Return the processor time of the work, the least of some tries; not who else has the core."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return min(_once() for _ in range(_TRIES))
    finally:
        os.sched_setaffinity(0, allowed)


def _once() -> float:
    began = time.thread_time()
    for _ in range(_TURNS):
        pass
    return time.thread_time() - began
