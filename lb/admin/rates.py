"""How much, how fast and how well, as operators see it: out of what the hosts publish into the store."""

from __future__ import annotations

import time

from lb.api.rates import Rate, Rates, Window
from lb.store.metrics import Metrics

#: A host publishes once a second; one that takes longer is not waited for.
_PATIENCE_SECONDS = 2.5
_LOOK_SECONDS = 0.1


class Sampler:
    """Looks at what the hosts have published, again and again. StoreError as `Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._window = Window()
        self._published = False

    def look(self) -> Rates | None:
        """Return the rates of the last seconds, as far as it has looked; None as long as there are none."""
        figures = self._metrics.figures()
        # By the hosts' own times: looks that find nothing new say nothing.
        heard = [run.heard for run in figures.runs.values() if run.now is not None]
        self._published = bool(heard)
        if not heard:
            return None
        self._window.see(max(heard), figures.totals)
        rates = self._window.rates()
        return rates if rates.window_seconds else None

    def wait(self) -> Rates | None:
        """Look until there are rates: about a second; None if no host publishes."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (rates := self.look()) is None and self._published and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return rates


def per_second(rate: Rate) -> str:
    """Write how many requests end in a second.

    >>> per_second(Rate(3.14159, None, None, None)), per_second(Rate(12345.6, None, None, None))
    ('3.1', '12,346')
    """
    number = rate.requests_per_second
    return f"{number:.1f}" if 0 < number < 10 else f"{number:,.0f}"


def latency(seconds: float | None) -> str:
    """Write how long something took.

    >>> [latency(seconds) for seconds in (None, 0.00123, 0.0123, 0.123, 1.23)]
    ['', '1.23 ms', '12.3 ms', '123 ms', '1.23 s']
    """
    if seconds is None:
        return ""
    milliseconds = seconds * 1000
    if milliseconds >= 999.5:
        return f"{seconds:.2f} s"
    return f"{milliseconds:.{2 if milliseconds < 9.995 else 1 if milliseconds < 99.95 else 0}f} ms"


def share(ratio: float | None) -> str:
    """Write which part of all.

    >>> [share(ratio) for ratio in (None, 0.0, 0.0001, 0.0123, 1.0)]
    ['', '0 %', '<0.1 %', '1.2 %', '100 %']
    """
    if ratio is None:
        return ""
    if 0 < ratio < 0.001:
        return "<0.1 %"
    return f"{ratio * 100:.{1 if 0 < ratio < 0.9995 else 0}f} %"
