"""`lb` without its metrics, for comparison: the same commands, but no worker counts and nobody publishes.

The product has no switch for that. It has a hook that workers count through; here each worker of `lb run` is
given one that counts nothing. All else is the product's.
"""

# ruff: noqa: PLC0415 (gevent must patch the standard library before a role is imported)

from __future__ import annotations

import sys

from gevent import monkey

from lb.__main__ import main as run_command
from lb.metrics.scoreboard import Scoreboard
from lb.model import ServerId
from lb.proxy.exchange import Unmetered


class Uncounted(Unmetered):
    """In place of a worker's meters: has a slot of the scoreboard, and counts nothing there."""

    def __init__(self, board: Scoreboard, slot: int) -> None:
        self.board = board

    def batch(self, picks: int, seconds: float) -> None:
        """Count no batch of leases."""

    def degraded(self, now: bool) -> None:
        """Count no time without the store."""

    def ejected(self, server: ServerId) -> None:
        """Count no server marked down."""


def main() -> None:
    """Run a command of `lb`; what `lb run` starts, it starts by this same entry."""
    command = sys.argv[1]
    if command == "run":
        from lb.processes import child

        child.PROGRAM = (sys.executable, "-m", "tests.benchmarks.unmetered")
    elif command == "worker":
        monkey.patch_all()
        from lb.processes import worker

        worker.Meters = Uncounted
    elif command == "api":
        monkey.patch_all()
        from lb.processes.role import Inherited

        Inherited.scoreboard = lambda _: None  # nothing to publish
    run_command()


if __name__ == "__main__":
    main()
