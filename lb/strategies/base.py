"""What a strategy is, and the local pool that its Python twin picks from."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from lb.model import Server, ServerId

# MINSTD (Park and Miller, 1988): small enough for Lua's doubles, so both twins draw the same numbers.
_MULTIPLIER = 48271
_MODULUS = 2**31 - 1


@dataclass(slots=True)
class LocalPool:
    """What a pick needs, in memory: the twin of the keys `cycle`, `cursor`, `connections` and `weights`."""

    cycle: list[ServerId]  # eligible servers, each as often as its weight
    weights: dict[ServerId, int]  # eligible servers in pool order
    connections: dict[ServerId, int] = field(default_factory=dict)
    cursor: int = 0
    seed: int = 1

    @classmethod
    def of(cls, servers: Iterable[Server]) -> LocalPool:
        """Take the eligible of `servers`, in their order."""
        weights = {server.id: server.weight for server in servers if server.eligible}
        return cls(cycle=weighted_cycle(weights), weights=weights)

    def draw(self) -> int:
        """Return the next pseudo-random number, 1 to 2**31 - 2."""
        self.seed = self.seed * _MULTIPLIER % _MODULUS
        return self.seed

    def advance(self) -> int:
        """Return the cursor and move it on."""
        position = self.cursor
        self.cursor += 1
        return position


#: The rule itself: choose among the pool's eligible servers, none of `excluded`; None if there is none.
Pick = Callable[[LocalPool, Collection[ServerId]], ServerId | None]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A rule of choice: `pick` here and the function of the same rule in `<stem>.lua` beside it."""

    name: str  # as config and commands write it, with hyphens
    pick: Pick

    @property
    def stem(self) -> str:
        """Name of its two files."""
        return self.name.replace("-", "_")


def weighted_cycle(weights: dict[ServerId, int]) -> list[ServerId]:
    """Lay the servers out so that each appears exactly `weight` times, evenly spaced.

    Server i of n stands at (j + i/n) / weight for j = 0 … weight - 1. With equal weights that is the pool's
    own order; with others each server's turns are equally far apart, so no server gets a burst. Weights are
    divided by their greatest common divisor first: 10/10/20 is a cycle of four.
    """
    divisor = math.gcd(*weights.values()) or 1
    turns = [
        ((turn + index / len(weights)) / (weight // divisor), index, server)
        for index, (server, weight) in enumerate(weights.items())
        for turn in range(weight // divisor)
    ]
    return [server for _, _, server in sorted(turns)]
