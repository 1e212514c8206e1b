"""Rules of choice. PURE: no I/O, no clock, no randomness of its own, no knowledge of health.

A strategy sees only eligible servers. It is two files of one stem, a Python `pick` and its Lua twin, and one
line here; tests run both on the same state and expect the same answer.
"""

from __future__ import annotations

from lb.strategies.base import LocalPool, Strategy, weighted_cycle
from lb.strategies.least_connections import LEAST_CONNECTIONS
from lb.strategies.random import RANDOM
from lb.strategies.round_robin import ROUND_ROBIN

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        ROUND_ROBIN,
        RANDOM,
        LEAST_CONNECTIONS,
    )
}

#: What a pool goes by whose strategy nobody has chosen, or is one that only a newer version of lb knows.
DEFAULT = ROUND_ROBIN

__all__ = ["DEFAULT", "STRATEGIES", "LocalPool", "Strategy", "weighted_cycle"]
