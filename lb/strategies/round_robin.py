"""Picks each server in turn, as often as its weight: exact over every cycle, for the whole fleet."""

from __future__ import annotations

from collections.abc import Collection

from lb.model import ServerId
from lb.strategies.base import LocalPool, Strategy


def pick(pool: LocalPool, excluded: Collection[ServerId]) -> ServerId | None:
    """Pick the server at the cursor, stepping over excluded ones, at most once around."""
    for _ in pool.cycle:
        server = pool.cycle[pool.advance() % len(pool.cycle)]
        if server not in excluded:
            return server
    return None


ROUND_ROBIN = Strategy("round-robin", pick)
