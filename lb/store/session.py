"""The edge to the store: runs scripts, and turns every redis exception into one of ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 (redis's own, and the only one meant here)
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)

from lb.config.store_url import host_port
from lb.errors import OutdatedError, StoreError, StoreUnavailableError, StoreUnreachableError
from lb.store.door import refusal
from lb.store.keys import SCHEMA, Keys
from lb.store.scripts import load

#: Workers put the pool back into a store that lost it within two seconds. Operators' acts wait for that, or
#: they would be undone. A store that is still empty after this time is taken for a new one.
RETURN_SECONDS = 2.5
_LOOK_SECONDS = 0.05
_NOBODY = "lb"  # as whom an act repairs what no worker has

#: The first row that fits an exception says what it is turned into, and what it means.
_TRANSLATION: tuple[tuple[type[Exception], type[StoreError], str], ...] = (
    (AuthenticationError, StoreError, "refuses the user name or password (redis://USER:PASSWORD@HOST)"),
    (AuthorizationError, StoreError, "refuses this user"),
    (NoPermissionError, StoreError, "does not allow this user all that lb needs (docs/engines.md lists it)"),
    (BusyLoadingError, StoreUnavailableError, "is still loading its data"),
    (TimeoutError, StoreUnreachableError, "does not answer in time"),
    (ConnectionError, StoreUnreachableError, "cannot be reached"),
    (ReadOnlyError, StoreUnavailableError, "is a replica, which takes no writes: give the primary's URL"),
    (OutOfMemoryError, StoreUnavailableError, "is out of memory (its maxmemory)"),
    (MasterDownError, StoreUnavailableError, "is a replica that lost its primary"),
    (ClusterDownError, StoreUnavailableError, "is a cluster that does not serve these keys now"),
    (
        AskError,
        StoreUnavailableError,
        "is a node of a cluster, and another holds this pool (redis+cluster://)",
    ),
    (TryAgainError, StoreUnavailableError, "is moving this pool to another node"),
    (InvalidResponse, StoreError, "is no Redis or Valkey"),
    (RedisError, StoreError, "refused the command"),
)

# What redis-py and the store say besides the reason: the address once more, and the place in a script.
_REASON = re.compile(
    r"(?:Error -?\d+ connecting to \S+\. |Error while .+? : \(\d+, ')?(.*?)(?:'\))?\.?(?: script: .*)?",
    re.DOTALL,
)


class EmptyStoreError(StoreUnavailableError):
    """The store holds no pool, or a damaged one: it is new, or has lost what the workers will put back."""


def address_of(client: redis.Redis) -> str:
    """Return the URL of a client's store, without credentials."""
    place: dict[str, Any] = client.connection_pool.connection_kwargs
    if "finder" in place:
        return str(place["finder"])
    if "path" in place:
        return f"unix://{place['path']}"
    return f"redis://{host_port(place['host'], place['port'])}/{place['db']}"


def store_error(error: RedisError, client: redis.Redis) -> StoreError:
    """Translate an exception of redis into one of ours, a single line that names the store."""
    if str(error).startswith("EMPTY "):
        return EmptyStoreError(f"{_reason(error).removeprefix('EMPTY ')} (at {address_of(client)})")
    if isinstance(error, ConnectionError) and (said := refusal(error, client)):
        return StoreUnavailableError(f"the store at {address_of(client)} lets nobody in: {said}")
    kind, meaning = next(row[1:] for row in _TRANSLATION if isinstance(error, row[0]))
    return kind(f"the store at {address_of(client)} {meaning}: {_reason(error)}")


def _reason(error: RedisError) -> str:
    said = _REASON.fullmatch(str(error))
    return said[1] if said else str(error)


def _outdated(reply: str) -> OutdatedError:
    version = reply.removeprefix("VERSION ")
    return OutdatedError(f'the pool is now at version "{version}", not as you saw it: look again')


class Session:
    """A client together with the keys of one pool; runs scripts over them.

    Raises StoreError, and OutdatedError where the header of an act says VERSION.
    """

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self.connection = connection
        self.keys = keys

    @property
    def address(self) -> str:
        """The store's URL, without credentials."""
        return address_of(self.connection)

    @contextmanager
    def edge(self) -> Iterator[Any]:  # its types allow for bytes everywhere; our connections decode
        """Lend the connection, and translate what it raises."""
        try:
            yield self.connection
        except RedisError as error:
            if str(error).startswith("VERSION "):
                raise _outdated(str(error)) from error
            raise store_error(error, self.connection) from error

    def read(self, command: str, *arguments: Any, **options: Any) -> Any:
        """Call a command that reads one key; None if the key is of another type than ours.

        The next script that names such a key deletes it; see `scripts`.
        """
        with self.edge() as connection:
            try:
                return getattr(connection, command)(*arguments, **options)
            except ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                return None

    def hashes(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """Read several hashes in one round trip; one of another type is empty."""
        with self.edge() as connection:
            pipeline = connection.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(key)
            replies = pipeline.execute(raise_on_error=False)
        return [{} if isinstance(reply, ResponseError) else reply for reply in replies]

    def run(
        self, act: str, *arguments: str | float, further_keys: Iterable[str] = (), **own_keys: str
    ) -> Any:
        """Run `lua/<act>.lua`, whose header says what it takes and what it returns.

        `own_keys` are those of its KEYS that `Keys` composes from an id; `further_keys` come after KEYS.
        """
        script = load(act)
        names = [*script.keys(self.keys, **own_keys), *further_keys]
        with self.edge() as connection:
            try:
                return connection.evalsha(script.sha, len(names), *names, *arguments)
            except NoScriptError:
                return connection.eval(script.text, len(names), *names, *arguments)

    def act(
        self, act: str, *arguments: str | float, further_keys: Sequence[str] = (), **own_keys: str
    ) -> Any:
        """Run an act; if the store holds no pool, once that is back, or else on a new one.

        Nobody has put a damaged one back by then either, so it goes on with what is left of it.
        """
        for _ in range(int(RETURN_SECONDS / _LOOK_SECONDS)):
            try:
                return self.run(act, *arguments, further_keys=further_keys, **own_keys)
            except EmptyStoreError:
                time.sleep(_LOOK_SECONDS)
        with self.edge() as connection:
            connection.set(self.keys.schema, SCHEMA, nx=True)
            if not connection.exists(self.keys.servers, self.keys.urls):
                connection.set(self.keys.version, 0, nx=True)
        self.run("refill", _NOBODY, 0, "", 1, "on")  # from no snapshot at all
        return self.run(act, *arguments, further_keys=further_keys, **own_keys)
