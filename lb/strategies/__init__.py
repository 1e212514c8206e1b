"""The strategies. PURE: no I/O, no clock, no randomness of their own, no knowledge of health.

A strategy sees only eligible servers. It consists of two files with the same stem, a Python `pick` and its
twin in Lua, and of one line here. Tests run both on the same state and expect the same answer.
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

#: For a pool whose strategy nobody has chosen yet, or that is known only to a newer version of lb.
DEFAULT = ROUND_ROBIN

__all__ = ["DEFAULT", "STRATEGIES", "LocalPool", "Strategy", "weighted_cycle"]
