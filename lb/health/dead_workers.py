"""DeadWorkers: takes back what dead workers held. Workers do so for each other; this is for when all died."""

from __future__ import annotations

import time
from collections.abc import Callable

from lb.model import WorkerId
from lb.store.fleet import Fleet

#: A worker without a heartbeat for so long is dead.
SILENCE_SECONDS = 3.0
LOOK_SECONDS = 1.0


class DeadWorkers:
    """Watches the fleet. Every health-checker may do this, leading or not: the store lets only one reap."""

    def __init__(self, fleet: Fleet, by: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet = fleet
        self._by = by
        self._clock = clock
        self._look_due = 0.0
        self._heartbeats: dict[WorkerId, float] = {}

    def reap(self) -> None:
        """Once a second, ask the store to reap the workers whose heartbeat has not changed since last time.

        The store does so only if the heartbeat is old enough by its own clock, which also wrote it; our clock
        may be wrong.
        """
        now = self._clock()
        if now < self._look_due:
            return
        heartbeats = {worker.id: worker.heartbeat for worker in self._fleet.workers()}
        for worker, heartbeat in heartbeats.items():
            if self._heartbeats.get(worker) == heartbeat:
                self._fleet.reap(worker, self._by, silence_seconds=SILENCE_SECONDS)
        self._heartbeats = heartbeats
        self._look_due = now + LOOK_SECONDS
