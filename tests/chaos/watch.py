"""Measures from outside how long it takes until the dead are taken back and another health-checker leads."""

from __future__ import annotations

import threading
import time

from lb.errors import StoreError
from tests.chaos.subject import INTERVAL_SECONDS, Subject

REAP_SECONDS = 5.0
TAKE_OVER_SECONDS = 3 * INTERVAL_SECONDS
#: A look each so often, and a busy machine.
_SLACK_SECONDS = 0.5
_LOOK_SECONDS = 0.05


class Watch:
    """Looks at the store all the time; what an outage of the store delays is not counted."""

    def __init__(self, subject: Subject) -> None:
        self.reaped: list[float] = []  # seconds
        self.took_over: list[float] = []
        self.violations: list[str] = []
        self._subject = subject
        self._dead: dict[int, float] = {}  # pid → when it was killed
        self._leader: tuple[str, float] | None = None  # the one that was killed or frozen, and when
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def killed(self, pid: int, *, stopped: bool = False) -> None:
        """Expect a worker's counts to be taken back; one that was `stopped` may still finish its requests."""
        self._dead[pid] = time.monotonic() + 4.0 * stopped

    def leaderless(self, pid: int) -> None:
        """Expect another leader if this health-checker leads; only another host can have one at once."""
        try:
            leader = self._subject.pool.leader()
        except StoreError:
            return
        others = sum(host.up for host in self._subject.hosts) > 1
        if leader and f"-{pid}-" in leader and others and self._leader is None:
            self._leader = leader, time.monotonic()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            began = time.monotonic()
            try:
                pids = {worker.pid for worker in self._subject.fleet.workers()}
                leader = self._subject.pool.leader()
            except StoreError:
                self._leader = None
                continue
            self._look_for_dead(pids, began)
            self._look_for_leader(leader, began)

    def _look_for_dead(self, pids: set[int], now: float) -> None:
        for pid, killed in list(self._dead.items()):
            disturbed = self._subject.outage_at(killed, now)
            if pid not in pids:
                del self._dead[pid]
                if disturbed is None:
                    self.reaped.append(max(0.0, now - killed))
            elif disturbed is None and now - killed > REAP_SECONDS + _SLACK_SECONDS:
                del self._dead[pid]
                self.violations.append(f"worker {pid} is dead for {now - killed:.1f} s and still counted")

    def _look_for_leader(self, leader: str | None, now: float) -> None:
        if self._leader is None:
            return
        lost, since = self._leader
        if self._subject.outage_at(since, now) is not None or not all(
            host.up for host in self._subject.hosts
        ):
            self._leader = None
        elif leader not in (None, lost):
            self.took_over.append(now - since)
            self._leader = None
        elif now - since > TAKE_OVER_SECONDS + _SLACK_SECONDS:
            self._leader = None
            if leader is None:
                self.violations.append(f"no health-checker leads {now - since:.1f} s after {lost} was lost")
