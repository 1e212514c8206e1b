"""Connections that ask a finder for the primary each time they connect."""

from __future__ import annotations

from typing import Any, Protocol

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.exceptions import (
    ConnectionError,  # noqa: A004 (redis's own, and the only one meant here)
    MovedError,
    ReadOnlyError,
    RedisError,
)
from redis.retry import Retry

#: How long to wait for one node's answer: it may be frozen, and the next one knows as well.
ASK_SECONDS = 0.5

#: A node that is no longer the primary refuses a command before doing anything, so it can be sent to the one
#: that is. Nothing else is ever sent twice.
MOVE = Retry(NoBackoff(), 1, supported_errors=(MovedError, ReadOnlyError))


class Finder(Protocol):
    """Finds the primary. `str()` is the store's URL without credentials."""

    def find(self) -> tuple[str, int]:
        """Return the primary's host and port; redis's ConnectionError if no node knows it."""

    def check(self, connection: Connection) -> None:
        """Make sure that a new connection is to a primary; RedisError if it is not."""


class FoundConnection(Connection):
    """A connection to whichever node the finder names as the primary."""

    def __init__(self, *, finder: Finder, **settings: Any) -> None:
        self._finder = finder
        super().__init__(**settings)  # type: ignore[no-untyped-call]

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:  # noqa: FBT001, FBT002 (redis-py's)
        """Connect, unless connected."""
        if self._sock:
            return
        self.host, self.port = self._finder.find()
        super().connect_check_health(check_health, retry_socket_connect)
        try:
            self._finder.check(self)
        except RedisError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class FoundTlsConnection(FoundConnection, SSLConnection):
    """The same over TLS."""


def nobody_knows(what: str, problems: list[str]) -> ConnectionError:
    """Return the error for a primary that was not found: what is missing, and what each node said.

    Sorted, as the order in which they are asked varies, and a worker logs each reason that is new.
    """
    return ConnectionError(f"{what} ({'; '.join(sorted(problems))})")
