"""Connections that ask a finder where the primary is, each time they connect."""

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

#: One node that is asked may take this long: it may be frozen, and the next one knows as well.
ASK_SECONDS = 0.5

#: A node that is no longer the primary refuses before it does anything, so the command can go to the one that
#: is. Nothing else is sent twice.
MOVE = Retry(NoBackoff(), 1, supported_errors=(MovedError, ReadOnlyError))


class Finder(Protocol):
    """Knows whom to ask for the primary. `str()` is the store's URL without credentials."""

    def find(self) -> tuple[str, int]:
        """Return host and port of the primary now; redis's ConnectionError if nobody knows."""

    def check(self, connection: Connection) -> None:
        """Make sure that a new connection leads to a primary; RedisError if not."""


class FoundConnection(Connection):
    """A connection to the primary that its finder finds."""

    def __init__(self, *, finder: Finder, **settings: Any) -> None:
        self._finder = finder
        super().__init__(**settings)  # type: ignore[no-untyped-call]

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:  # noqa: FBT001, FBT002 (redis-py's)
        """Connect, if not connected."""
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
    """The same through TLS."""


def nobody_knows(what: str, problems: list[str]) -> ConnectionError:
    """Return the error for a primary that was not found: whom was asked, and what each said."""
    return ConnectionError(f"{what} ({'; '.join(problems)})")
