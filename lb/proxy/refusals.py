"""Notices when the balancer itself refuses nearly all that it is asked: then it is most likely at fault."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic

from lb.errors import LBError
from lb.proxy.responses import explanation_of

_log = logging.getLogger(__name__)

WINDOW_SECONDS = 60.0
#: Fewer refusals than this say nothing: there may have been no other requests.
FEWEST = 20
_NEARLY_ALL = 0.9
_MOST_REASONS = 64


class Refusals:
    """Counts the balancer's own answers by their reason, and says once a minute if they are nearly all."""

    def __init__(self, answers: Callable[[], int], clock: Callable[[], float] = monotonic) -> None:
        """`answers` tells how many there were of all, from servers and of our own."""
        self._answers = answers
        self._clock = clock
        self._reasons: Counter[str] = Counter()
        self._began, self._before = clock(), answers()

    def note(self, error: LBError) -> None:
        """Count a request that was answered with an error."""
        self.look()
        reason = f"{error.status}: {explanation_of(error)}"
        if reason in self._reasons or len(self._reasons) < _MOST_REASONS:
            self._reasons[reason] += 1

    def look(self) -> None:
        """Judge a minute that is over."""
        now = self._clock()
        seconds = now - self._began
        if seconds < WINDOW_SECONDS:
            return
        answers, refused = self._answers(), self._reasons.total()
        if refused >= FEWEST and refused >= _NEARLY_ALL * (answers - self._before):
            [(reason, often)] = self._reasons.most_common(1)
            _log.warning(
                "the balancer itself refused nearly all requests: %d in %.0f s, most often (%d) with %s",
                refused,
                seconds,
                often,
                reason,
            )
        self._reasons.clear()
        self._began, self._before = now, answers
