"""Whose turn it is to accept: workers that share a listening socket take about as many clients each.

All of them wake for each new client, and the one that is quickest would take a whole burst: of 64 clients
that connect at once one of two workers took 53 to 100 %. So who is ahead of another leaves the next ones to
it for a moment; then the busiest takes 50 to 61 %, unless the other gets no processor for 20 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import Final

from lb.proxy.exchange import Meters

#: So many clients more than another worker has, a worker may take before it stands back …
_LEAD: Final = 4
#: … for so long. A worker that wakes from idleness is there in a tenth of it.
STAND_BACK_SECONDS: Final = 0.002
#: Who has stood back for so long, and clients wait still, takes them all. By the clock, not by the number of
#: pauses: on a machine that is too busy each of them may last for a hundred times as long as it should.
_PATIENCE_SECONDS: Final = 0.02
#: Accepted per turn of the loop: more would starve the clients that are already in.
_BATCH: Final = 16
_ALL: Final = 1 << 30


class Turns:
    """Says how many clients a worker may accept now. One that hangs delays the others little, and briefly."""

    def __init__(self, meters: Meters, clock: Callable[[], float] = monotonic) -> None:
        self._meters = meters
        self._clock = clock
        self._since = math.inf  # when somebody began to wait for another worker
        self._left_over = 0  # clients that nobody came for

    def room(self, own: int) -> int:
        """Return how many clients to accept, having `own`; 0 to stand back."""
        others = self._meters.clients_of_others()
        room = min(others) + _LEAD - own if others else _BATCH
        if room > 0:
            self.none_waits()
        else:
            self._since = min(self._since, self._clock())
            room = self._left_over
            self._left_over -= min(room, _BATCH)
        return min(room, _BATCH)

    def stood_back(self) -> None:
        """Take some of those who wait still, in the end all: the others have had their time."""
        self._left_over = _LEAD if self._clock() - self._since < _PATIENCE_SECONDS else _ALL

    def none_waits(self) -> None:
        """Take note that nobody waits for another worker any more."""
        self._since = math.inf
        self._left_over = 0
