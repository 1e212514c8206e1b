"""Returns: checks the servers that were removed for their silence, and brings back those that pass again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from lb.config import Config
from lb.errors import StoreError
from lb.health.checker import BY, JITTER, LOOK_SECONDS
from lb.health.checks import CheckType
from lb.limited_log import LimitedLog
from lb.model import Admin, Health, RemovedServer, Server
from lb.store.pool import BackendPool

_log = logging.getLogger(__name__)
_limited = LimitedLog(__name__)

#: The time between two checks doubles from one interval up to so many, and to no more than these seconds: a
#: server that is soon back returns soon, and one that is gone for weeks costs little.
INTERVALS, LONGEST_SECONDS = 10, 30.0


@dataclass(slots=True)
class _Watch:
    """What is remembered of one removed server."""

    removed: RemovedServer
    due: float  # when the next check starts, or the one in flight has started, by the clock
    delay: float  # seconds from that one to the next
    passed: int = 0  # checks in a row
    in_flight: bool = False


class Returns:
    """Works while its health-checker leads, for as long as the records of the removed servers are kept."""

    def __init__(  # noqa: PLR0913 - the lead, concurrency, clock and chance are passed in
        self,
        pool: BackendPool,
        check: CheckType,
        config: Config,
        *,
        term: Callable[[], int | None],
        spawn: Callable[..., object],
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`term`: of the lead, None while another leads. `spawn` starts a call and returns at once."""
        self._pool = pool
        self._check = check
        self._settings = config.health_check
        self._interval = config.health_check_interval_seconds
        self._longest = max(min(INTERVALS * self._interval, LONGEST_SECONDS), self._interval)
        self._term = term
        self._spawn = spawn
        self._clock = clock
        self._uniform = uniform
        self._look_due = 0.0
        self._watches: dict[RemovedServer, _Watch] = {}

    def tick(self) -> None:
        """Start the checks that are due; StoreError if the store cannot be read."""
        if self._term() is None:
            self._watches = {}
            return
        now = self._clock()
        if now >= self._look_due:
            self._look(now)
            self._look_due = now + LOOK_SECONDS
        for watch in self._watches.values():
            if watch.due <= now and not watch.in_flight:
                watch.in_flight, watch.due = True, now
                self._spawn(self._run, watch)

    def _look(self, now: float) -> None:
        """Read which servers are awaited. One that was removed once more is another."""
        watches = self._watches
        self._watches = {
            removed: watches.get(removed) or _Watch(removed, now + self._interval, self._interval)
            for removed in self._pool.awaited()
        }

    def _run(self, watch: _Watch) -> None:
        try:
            check = self._check(_as_server(watch.removed), self._settings)
            term = self._term()
            if term is not None and self._watches.get(watch.removed) is watch:
                self._judge(watch, check.passed, term)
        except StoreError as error:
            _log.debug("the check of %s is lost: %s", watch.removed.id, error)
        finally:
            watch.in_flight = False

    def _judge(self, watch: _Watch, passed: bool, term: int) -> None:  # noqa: FBT001
        watch.passed = watch.passed + 1 if passed else 0
        watch.delay = self._interval if passed else min(2 * watch.delay, self._longest)
        watch.due += watch.delay * self._uniform(1 - JITTER, 1 + JITTER)  # however long it took
        if watch.passed < self._settings.rise:
            return
        if self._pool.bring_back(watch.removed.id, BY, term):
            _limited.warning(
                "server %s is back in the pool: it passes its checks again",
                watch.removed.id,
                of=watch.removed.id,
                burst=3,
            )
        self._look_due = 0.0


def _as_server(removed: RemovedServer) -> Server:
    return Server(
        id=removed.id,
        url=removed.url,
        weight=removed.weight,
        admin=Admin.READY,
        health=Health.DOWN,
        source=removed.source,
        reason=removed.reason,
        since=removed.at,
    )
