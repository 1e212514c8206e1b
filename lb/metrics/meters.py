"""Meters: what a worker counts. Each is a few cells of the worker's own region of the scoreboard.

A request costs one addition to the cell of its server, status class and latency, and one to the server's sum
of seconds: 0.2 µs in all. Nothing is kept elsewhere first, so nothing counted can be lost with the worker.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from time import monotonic

from lb.metrics import layout, scoreboard
from lb.metrics.scoreboard import Scoreboard, names_of
from lb.model import ServerId

# Reading them through the module costs 20 ns more each time.
_CELLS, _BUCKETS, _LATENCY_BOUNDS = layout.ROW_CELLS, layout.BUCKETS, layout.LATENCY_BOUNDS
_BATCHES, _BATCH_BOUNDS, _PICKS = layout.BATCHES, layout.BATCH_BOUNDS, layout.PICKS
_TRIPS, _TRIP_BOUNDS, _TRIP_SECONDS = layout.TRIPS, layout.TRIP_BOUNDS, layout.TRIP_SECONDS

_OWN = ServerId("")  # in place of a server where the balancer itself answered


class Meters:
    """The cells of one slot, written by this process alone."""

    def __init__(self, board: Scoreboard, slot: int) -> None:
        """Take a slot; what was counted in it before goes on."""
        self.board = board
        self.slot = slot
        self._head = board.head(slot)
        region = board.region(slot)
        self._names = region[: layout.NAMES_BYTES]
        self._counts = region[layout.NAMES_BYTES :].cast("Q")
        self._sums = region[layout.NAMES_BYTES :].cast("d")
        named = {ServerId(name): row * _CELLS for row, name in names_of(region, self._head).items()}
        self._rows = {_OWN: layout.OWN_ROW * _CELLS, **named}
        self._degraded_until = 0.0  # monotonic seconds: the time until then is counted
        board.vacate(slot)
        self._head[layout.PID] = os.getpid()

    # --- requests: each ends in exactly one of `answered`, `cut` and `client_gone`

    def answered(self, server: ServerId, status: int, seconds: float) -> None:
        """Count a response that is sent to its end, `seconds` after its request; server "" for our own."""
        try:
            row = self._rows[server]
        except KeyError:
            row = self._row(server)
        self._counts[row + status // 100 * _BUCKETS + bisect_left(_LATENCY_BOUNDS, seconds)] += 1
        self._sums[row] += seconds

    def answers(self) -> int:
        """Return how many responses were counted in this slot, our own included."""
        rows = range(layout.OWN_ROW, layout.FIRST_SERVER_ROW + self._head[layout.NAMED_ROWS])
        starts = (row * _CELLS for row in rows)
        return sum(sum(self._counts[start + _BUCKETS : start + _CELLS]) for start in starts)

    def cut(self, server: ServerId) -> None:
        """Count a response that broke off in the middle: its client's connection is cut."""
        self._counts[self._row(server) + layout.CUT] += 1

    def client_gone(self, server: ServerId) -> None:
        """Count a client that left before the end of its response; server "" if none was chosen yet."""
        self._counts[self._row(server) + layout.GONE] += 1

    # --- what else happens to a server

    def retried(self, server: ServerId) -> None:
        """Count a failed attempt at a server after which another is asked."""
        self._counts[self._row(server) + layout.RETRIES] += 1

    def ejected(self, server: ServerId) -> None:
        """Count a server marked down because requests to it failed."""
        self._counts[self._row(server) + layout.EJECTIONS] += 1

    # --- clients

    @property
    def clients(self) -> int:
        """Connections of clients that are open now."""
        count: int = self._head[layout.CLIENTS]
        return count

    @clients.setter
    def clients(self, count: int) -> None:
        self._head[layout.CLIENTS] = count

    @property
    def max_clients(self) -> int:
        """How many there may be."""
        count: int = self._head[layout.MAX_CLIENTS]
        return count

    @max_clients.setter
    def max_clients(self, count: int) -> None:
        self._head[layout.MAX_CLIENTS] = count

    @property
    def accepting(self) -> bool:
        """Whether this worker takes new clients."""
        return bool(self._head[layout.ACCEPTING])

    @accepting.setter
    def accepting(self, accepting: bool) -> None:
        self._head[layout.ACCEPTING] = int(accepting)

    def accepted(self) -> None:
        """Count a client's connection accepted."""
        self._head[layout.ACCEPTED] += 1

    def closed_idle(self) -> None:
        """Count an idle client that was closed so that another could come in."""
        self._counts[layout.CLOSED_IDLE] += 1

    def refused(self) -> None:
        """Count a connection that was refused as its address had enough."""
        self._counts[layout.REFUSED] += 1

    def clients_of_others(self) -> list[int]:
        """Return the `clients` of each other worker of this host that takes new ones."""
        return self.board.clients_of_others(self.slot)

    # --- the lease line

    def batch(self, picks: int, seconds: float) -> None:
        """Count a batch that the store has answered: for how many requests, how long after it was sent."""
        counts = self._counts
        counts[_BATCHES + bisect_left(_BATCH_BOUNDS, picks)] += 1
        counts[_PICKS] += picks
        counts[_TRIPS + bisect_left(_TRIP_BOUNDS, seconds)] += 1
        self._sums[_TRIP_SECONDS] += seconds

    def degraded(self, now: bool) -> None:  # noqa: FBT001
        """Tell whether servers are picked without the store, also while that goes on: its time is counted."""
        time = monotonic()
        if self._head[layout.DEGRADED]:
            self._sums[layout.DEGRADED_SECONDS] += time - self._degraded_until
        self._degraded_until = time
        self._head[layout.DEGRADED] = int(now)

    # ---

    def _row(self, server: ServerId) -> int:
        row = self._rows.get(server)
        if row is None:
            row = self._rows[server] = self._new_row(server) * _CELLS
        return row

    def _new_row(self, server: ServerId) -> int:
        """Give a server a row of its own, or the common one if there is none left."""
        row, name = self._head[layout.NAMED_ROWS] + layout.FIRST_SERVER_ROW, server.encode()
        if row >= layout.ROWS or len(name) > layout.LONGEST_NAME:
            return layout.OTHER_ROW
        start = row * layout.NAME_BYTES
        self._names[start : start + 2 + len(name)] = len(name).to_bytes(2, "little") + name
        self._head[layout.NAMED_ROWS] += 1  # after the name, so that a row in use has one
        return int(row)


def lone(host: str) -> Meters:
    """Make meters for a worker without a supervisor, on a scoreboard of its own."""
    board = Scoreboard(scoreboard.create(host))
    board.grant(0)
    return Meters(board, 0)
