"""What the fleet has counted, as this process sees it: from the store, or from memory while that is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from threading import Lock

from lb.api.rates import Rates, Window
from lb.errors import StoreError
from lb.limited_log import LimitedLog
from lb.store.metrics import ENDED_SECONDS, Figures, Metrics, Publisher

_limited = LimitedLog(__name__)


class Counted:
    """Publishes what this host has counted, if it has a scoreboard, and reads what all have."""

    def __init__(
        self,
        metrics: Metrics,
        publisher: Publisher | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._publisher = publisher
        self._clock = clock
        self._window = Window()
        self._silent: dict[tuple[str, float], float] = {}  # run, and when it spoke last → since when we know
        self._last = Figures(whole=False)
        self.long_gone: Collection[str] = ()  # servers without series of their own, as last seen
        self._lock = Lock()

    def publish(self, *, last: bool = False) -> None:
        """Publish; StoreError if the store does not take it. The `last` time nobody does after this."""
        with self._lock:
            if self._publisher is not None:
                self._publisher.publish(last=last)

    def look(self) -> Figures:
        """Read the figures of the fleet, its own as of now; StoreError if the store does not tell."""
        with self._lock:
            try:
                # Its own go through the store too: so no host ever tells less than another did before.
                if self._publisher is not None:
                    self._publisher.publish()
                figures = self._metrics.figures()
                if figures.lack(self._last):
                    self._metrics.put_back(self._last)
                    figures = self._metrics.figures()
            except StoreError:
                self._silent.clear()  # nobody could publish meanwhile
                raise
            self._last = figures
            self._window.see(self._clock(), figures.totals)
            return figures

    def remembered(self) -> Figures:
        """Return the figures as they last were, but its own as of now; only its own if nobody looked yet."""
        runs = {name: replace(run, now=None) for name, run in self._last.runs.items()}
        if self._publisher is not None:
            runs[self._publisher.run] = self._publisher.own()
        return Figures(runs, self._last.base, whole=self._last.whole)

    def attempt(self, act: Callable[[], None]) -> None:
        """Do one of these if the store takes it; other errors are logged, and the next time may be better."""
        try:
            act()
        except StoreError:
            return  # the next time says all, and who asks for figures is told
        except Exception:  # one odd figure must not end the counting
            _limited.exception("the figures for /metrics could not be published or added up")

    def rates(self) -> Rates:
        """Read the rates of the last seconds; StoreError if the store does not tell."""
        self.look()
        return self._window.rates()

    def fold_ended(self) -> None:
        """Have runs folded that were silent all the while that this process could hear them; StoreError."""
        runs, now = self.look().runs, self._clock()
        spoke = [(name, run.heard) for name, run in runs.items()]
        self._silent = {last: self._silent.get(last, now) for last in spoke}
        ended = {name for (name, _), since in self._silent.items() if now - since > ENDED_SECONDS}
        hosts = {run.host for name, run in runs.items() if name not in ended}
        for name in ended:
            self._metrics.fold(name, host_lives=runs[name].host in hosts)
