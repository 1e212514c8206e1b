"""Picks a server at random, in proportion to the weights."""

from __future__ import annotations

from collections.abc import Collection

from lb.model import ServerId
from lb.strategies.base import LocalPool, Strategy


def pick(pool: LocalPool, excluded: Collection[ServerId]) -> ServerId | None:
    """Draw a place in the cycle and step over excluded servers, at most once around."""
    start = pool.draw()
    for step in range(len(pool.cycle)):
        server = pool.cycle[(start + step) % len(pool.cycle)]
        if server not in excluded:
            return server
    return None


RANDOM = Strategy("random", pick)
