"""Sentinel: the sentinels name the primary of a service."""

from __future__ import annotations

from typing import Any

import redis
from redis.connection import Connection
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004 (redis's own)

from lb.config.store_url import StoreUrl, host_port
from lb.store.engines.finder import nobody_knows


class Sentinels:
    """Asks one sentinel after the other, beginning with the one that knew last time."""

    def __init__(self, url: StoreUrl, settings: dict[str, Any]) -> None:
        """Take the URL, and how to connect to a sentinel (credentials, TLS, time-outs)."""
        self._url = url
        self._sentinels = {
            place: redis.Redis(host=place[0], port=place[1], **settings) for place in url.hosts
        }
        self._order = list(url.hosts)

    def __str__(self) -> str:
        return str(self._url)

    def find(self) -> tuple[str, int]:
        """Return the primary that a sentinel names and believes to be up."""
        problems = []
        for place in tuple(self._order):
            try:
                primary = self._ask(place)
            except RedisError as error:
                problems.append(f"{host_port(*place)}: {error}")
            else:
                self._order = [place, *(other for other in self._order if other != place)]
                return primary
        raise nobody_knows(f'no sentinel names a primary of the service "{self._url.service}"', problems)

    def _ask(self, place: tuple[str, int]) -> tuple[str, int]:
        try:
            state: Any = self._sentinels[place].sentinel_master(self._url.service)
        except ResponseError as error:
            raise ConnectionError(str(error)) from error
        host, port = str(state["ip"]), int(state["port"])
        if state["is_sdown"] or state["is_odown"] or not state["is_master"]:
            raise ConnectionError(f"its primary {host_port(host, port)} is down")
        return host, port

    def check(self, connection: Connection) -> None:
        """Ask the node for its role, as a sentinel that was cut off may name a former primary."""
        connection.send_command("ROLE")  # type: ignore[no-untyped-call]
        role, *_ = connection.read_response()
        if role not in ("master", b"master"):
            place = host_port(connection.host, connection.port)
            raise ConnectionError(f"{place} was named as the primary, and is a replica")
