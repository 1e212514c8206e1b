"""Whose turn it is to accept: workers that share a listening socket take about as many clients each.

All of them wake for each new client, and the one that is quickest would take a whole burst: of 64 clients
that connect at once one of two workers took 53 to 100 %. So who is ahead of another leaves the next ones to
it for a moment; then the busiest takes 50 to 56 %, on a busy machine too.
"""

from __future__ import annotations

from typing import Final

from lb.proxy.exchange import Meters

#: So many clients more than another worker has, a worker may take before it stands back …
_LEAD: Final = 4
#: … for so long. A worker that wakes from idleness is there in a tenth of it.
STAND_BACK_SECONDS: Final = 0.002
#: So often it takes `_LEAD` clients more if the others have not come; after that twice as many each time.
_PATIENT_TIMES: Final = 4
#: Accepted per turn of the loop: more would starve the clients that are already in.
_BATCH: Final = 16


class Turns:
    """Says how many clients a worker may accept now. One that hangs delays the others little, and briefly."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._in_vain = 0  # times that it has stood back in a row, and nobody came
        self._left_over = 0  # clients that nobody came for

    def room(self, own: int) -> int:
        """Return how many clients to accept, having `own`; 0 to stand back."""
        others = self._meters.clients_of_others()
        room = min(others) + _LEAD - own if others else _BATCH
        if room > 0:
            self._in_vain = self._left_over = 0
        else:
            room = self._left_over
            self._left_over -= min(room, _BATCH)
        return min(room, _BATCH)

    def stood_back(self) -> None:
        """Take some of the clients that wait still, whoever is ahead: the others have had their time."""
        self._left_over = _LEAD << max(0, self._in_vain - _PATIENT_TIMES)
        self._in_vain += 1

    def none_waits(self) -> None:
        """Take note that all who waited have been accepted."""
        self._in_vain = self._left_over = 0
