"""Cluster: any node can say which node holds the slot of a pool's keys."""

from __future__ import annotations

import random
from typing import Any

import redis
from redis.connection import Connection
from redis.crc import key_slot
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004 (redis's own)

from lb.config.store_url import StoreUrl, host_port
from lb.store.engines.finder import nobody_knows
from lb.store.keys import Keys


class ClusterNodes:
    """Asks the nodes in the URL and those learnt of since, in another order each time.

    The order varies because a node that is cut off from the others also answers, and names a former primary.
    """

    def __init__(self, url: StoreUrl, settings: dict[str, Any], keys: Keys) -> None:
        """Take the URL, how to connect to a node (credentials, TLS, time-outs), and the pool's keys."""
        self._url = url
        self._settings = settings
        self._slot = key_slot(keys.servers.encode())  # the same for all its keys
        self._nodes = set(url.hosts)

    def __str__(self) -> str:
        return str(self._url)

    def find(self) -> tuple[str, int]:
        """Return the node that holds the slot, according to the first node that knows."""
        problems = []
        for place in random.sample(sorted(self._nodes), len(self._nodes)):
            try:
                return self._ask(place)
            except RedisError as error:
                problems.append(f"{host_port(*place)}: {error}")
        raise nobody_knows(f"no node of the cluster names one for slot {self._slot}", problems)

    def _ask(self, place: tuple[str, int]) -> tuple[str, int]:
        with redis.Redis(host=place[0], port=place[1], **self._settings) as node:
            try:
                ranges = node.execute_command("CLUSTER", "SLOTS")
            except ResponseError as error:
                raise ConnectionError(str(error)) from error
        # A node that does not know its own name leaves it empty; it is the one that was asked.
        nodes = [[(host or place[0], int(port)) for host, port, *_ in holders] for _, _, *holders in ranges]
        self._nodes = set(self._url.hosts).union(*nodes)
        for (first, last, *_), (primary, *_) in zip(ranges, nodes, strict=True):
            if first <= self._slot <= last:
                return primary
        raise ConnectionError("knows of no such node")

    def check(self, connection: Connection) -> None:
        """Check nothing: a node that does not hold a key says so in reply to each command."""
