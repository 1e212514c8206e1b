"""What a strategy is, and the pool in memory that its Python twin picks from."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from lb.model import Server, ServerId, may_be_picked

# MINSTD (Park and Miller, 1988). Its products fit into Lua's doubles, so both twins draw the same numbers.
_MULTIPLIER = 48271
_MODULUS = 2**31 - 1


@dataclass(slots=True)
class LocalPool:
    """All that a pick needs: the twin of the store's keys `cycle`, `cursor`, `connections` and `weights`."""

    cycle: list[ServerId]  # eligible servers, each as often as its weight
    weights: dict[ServerId, int]  # eligible servers in pool order
    connections: dict[ServerId, int] = field(default_factory=dict)
    cursor: int = 0
    seed: int = 1

    @classmethod
    def of(cls, servers: Iterable[Server], *, fail_open: bool = True) -> LocalPool:
        """Make the pool of those `servers` that may be picked, in their order."""
        weights = {server.id: server.weight for server in may_be_picked(servers, fail_open=fail_open)}
        return cls(cycle=weighted_cycle(weights), weights=weights)

    def draw(self) -> int:
        """Return the next pseudo-random number, 1 to 2**31 - 2."""
        self.seed = self.seed * _MULTIPLIER % _MODULUS
        return self.seed

    def advance(self) -> int:
        """Return the cursor's position and move it on by one."""
        position = self.cursor
        self.cursor += 1
        return position


#: The rule itself: picks one of the pool's servers that is not excluded; None if there is none.
Pick = Callable[[LocalPool, Collection[ServerId]], ServerId | None]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A rule for picking servers: `pick`, and the same rule in `<stem>.lua` beside it."""

    name: str  # as config and commands write it, with hyphens
    pick: Pick

    @property
    def stem(self) -> str:
        """The name of its two files."""
        return self.name.replace("-", "_")


def weighted_cycle(weights: dict[ServerId, int]) -> list[ServerId]:
    """Return a cycle in which each server appears as often as its weight, evenly spaced.

    The turns of server i of n are at (j + i/n) / weight for j = 0 … weight - 1, sorted. With equal weights
    that is the order of the pool; with others, each server's turns are equally far apart, so none gets a
    burst. Weights are first divided by their greatest common divisor: 10, 10 and 20 make a cycle of four.
    """
    divisor, count = math.gcd(*weights.values()), len(weights)
    shares = [(server, weight // divisor) for server, weight in weights.items()]
    # One division of whole numbers: turns that coincide get the same number, whatever it is rounded to.
    turns = [
        ((turn * count + index) / (share * count), index, server)
        for index, (server, share) in enumerate(shares)
        for turn in range(share)
    ]
    return [server for _, _, server in sorted(turns)]
