"""Picks the server with the fewest requests in flight for its weight, counted over the whole fleet."""

from __future__ import annotations

from collections.abc import Collection

from lb.model import ServerId
from lb.strategies.base import LocalPool, Strategy


def pick(pool: LocalPool, excluded: Collection[ServerId]) -> ServerId | None:
    """Pick the least loaded server. Equally loaded ones take turns: the cursor goes backwards over them."""
    loads = {
        server: pool.connections.get(server, 0) / weight
        for server, weight in pool.weights.items()
        if server not in excluded
    }
    if not loads:
        return None
    least = min(loads.values())
    tied = sorted(server for server, load in loads.items() if load == least)
    if len(tied) > 1:
        pool.cursor = (pool.cursor if 0 < pool.cursor <= len(tied) else len(tied)) - 1
        return tied[pool.cursor]
    return tied[0]


LEAST_CONNECTIONS = Strategy("least-connections", pick)
