"""BackendPool: every act on the pool and every look at it, each one atomic in the store."""

from __future__ import annotations

import builtins
import difflib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import redis

from lb.errors import ConflictError, StoreError, UnknownServerError, UsageError
from lb.model import (
    MAX_WEIGHT,
    Admin,
    Check,
    Event,
    Health,
    RemovedServer,
    Server,
    ServerId,
    ServerSpec,
    ServerStatus,
    Snapshot,
    Source,
)
from lb.store import views
from lb.store.keys import SCHEMA, Keys
from lb.store.session import Session
from lb.strategies import STRATEGIES

_FEW = 10  # so many server ids still read well in one message
_BLOCK_SECONDS = 5.0


class BackendPool:
    """The pool in the store. Each method is one typed act; once it returned, every later pick obeys it.

    All methods raise StoreUnavailableError if the store does not answer and StoreError if it cannot be used;
    `by` names who acts, for the events.
    """

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)
        self._keys = keys
        self._seen = ""  # what acts of operators insist on

    def at(self, versions: Collection[int]) -> BackendPool:
        """Return the same pool; acts of operators raise OutdatedError unless it is at such a version."""
        pool = BackendPool(self._session.connection, self._keys)
        pool._seen = ",".join(map(str, versions)) or "none"
        return pool

    # --- looks

    def ping(self) -> None:
        """Check that the store answers and holds our schema (or nothing yet): StoreError if not."""
        with self._session.edge() as connection:
            found = connection.get(self._keys.schema)
        if found not in (None, SCHEMA):
            raise StoreError(
                f"the store at {self._session.address} holds a pool of schema {found}, this version of lb "
                f"works with schema {SCHEMA}: use the lb that wrote it, or another database"
            )

    def snapshot(self) -> Snapshot:
        """Read the members; version 0 and no strategy if the store holds no pool."""
        return views.snapshot_of(self._read())

    def version(self) -> int:
        """Read the pool's version, 0 if the store holds no pool."""
        with self._session.edge() as connection:
            return int(connection.get(self._keys.version) or 0)

    def list(self) -> list[ServerStatus]:
        """Read all servers in pool order with live figures, at one instant."""
        return views.statuses_of(self._read())

    def removed(self) -> builtins.list[RemovedServer]:
        """Read the servers that can be restored, the latest first."""
        with self._session.edge() as connection:
            removals = connection.zrevrange(self._keys.removed, 0, -1, withscores=True)
            pipeline = connection.pipeline(transaction=False)
            for server, _ in removals:
                pipeline.hgetall(self._keys.removed_server(server))
            records = pipeline.execute()
        return [
            views.removed_of(server, at, record)
            for (server, at), record in zip(removals, records, strict=True)
            if record  # not restored between the two reads
        ]

    def events(self, count: int = 100, after: str = "-") -> builtins.list[Event]:
        """Read the newest `count` events, oldest first; behind stream id `after` the oldest: a next page."""
        with self._session.edge() as connection:
            if after == "-":
                entries = connection.xrevrange(self._keys.events, count=count)[::-1]
            else:
                entries = connection.xrange(self._keys.events, min=f"({after}", count=count)
        return [views.event_of(entry) for entry in entries]

    def follow_events(self, after: str = "$") -> Iterator[Event]:
        """Block for the events behind stream id `after` ("$": only new ones), for ever."""
        position = after
        if after == "$":
            newest = self.events(count=1)
            position = newest[0].id if newest else "0-0"
        while True:
            with self._session.edge() as connection:
                streams = connection.xread({self._keys.events: position}, block=self._block_milliseconds())
            for _, entries in streams or ():
                for entry in entries:
                    position = entry[0]
                    yield views.event_of(entry)

    def leader(self) -> str | None:
        """Read which health-checker leads; None if none does."""
        with self._session.edge() as connection:
            leader: str | None = connection.get(self._keys.checker)
        return leader

    # --- acts of operators; for a server that is not in the pool: UnknownServerError, which names near ones

    def add(self, spec: ServerSpec, source: Source, by: str) -> Server:
        """Bring in a server, ready and up; forgets a record of its removal. ConflictError if it is there."""
        row = self._act("add", spec.id, spec.url, _weight(spec.weight), source, by, **self._record(spec.id))
        if row is None:
            raise ConflictError(f"{spec.id} is in the pool already")
        return views.server_of(row)

    def remove(self, server: ServerId, by: str, reason: str = "") -> None:
        """Take out a server; requests in flight to it go on. It can be restored for 30 days."""
        if self._act("remove", server, by, reason, **self._record(server)) is None:
            raise self._unknown(server)

    def restore(self, server: ServerId, by: str) -> Server:
        """Bring back a removed server with its URL, weight, source. UnknownServerError if none such."""
        row = self._act("restore", server, by, **self._record(server))
        if row is None:
            removed = [record.id for record in self.removed()]
            raise UnknownServerError(f"{server} is not on the list of the removed{_hint(server, removed)}")
        return views.server_of(row)

    def set_admin(self, server: ServerId, admin: Admin, by: str) -> Server:
        """Make a server ready, drain it, or put it into maint."""
        return self._known(server, self._act("set_admin", server, admin, by))

    def set_weight(self, server: ServerId, weight: int, by: str) -> Server:
        """Give a server a share of the traffic, 1 to 256; UsageError for another number."""
        return self._known(server, self._act("set_weight", server, _weight(weight), by))

    def set_strategy(self, name: str, by: str) -> None:
        """Choose the strategy; UsageError if there is none of that name."""
        self._act("set_strategy", _strategy(name), by)

    def reconcile(self, specs: Sequence[ServerSpec], strategy: str, by: str) -> builtins.list[ServerId]:
        """Make the pool's config-sourced servers those of the config; return those that left for that.

        A weight or the strategy is set only if the config changed it since it was last reconciled, so what an
        operator set survives a restart with the same config; so does what operators added. Also sets the
        schema if new.
        """
        servers = [field for spec in specs for field in (spec.id, spec.url, _weight(spec.weight))]
        records = [self._keys.removed_server(spec.id) for spec in specs]
        left = self._session.run("reconcile", by, _strategy(strategy), *servers, further_keys=records)
        return [ServerId(server) for server in left]

    # --- health; with the `term` of a lead that is over these change nothing and raise StoreError

    def record_check(self, server: ServerId, check: Check, term: int | None = None) -> None:
        """Note the outcome of a check, and since when the server gives no answer. Flips nothing."""
        milliseconds = f"{check.duration_seconds * 1000:.1f}"
        outcome, answered = views.outcome(check), int(check.answered)
        self._session.run("record_check", server, outcome, milliseconds, answered, term or "")

    def set_health(  # noqa: PLR0913 - who says so, and by what right
        self,
        server: ServerId,
        health: Health,
        reason: str,
        by: str,
        *,
        term: int | None = None,
        silent: bool = False,
    ) -> bool:
        """Flip; False if it was so already or the server is gone. Up clears failures and reason.

        Down because it is `silent` is refused (False) past half of the pool while requests are answered.
        """
        words = (server, health, reason, by, term or "", int(silent))
        return self._session.run("set_health", *words) is not None

    def mark_failed(self, server: ServerId, failures: int, by: str) -> bool:
        """Mark down for failures on real traffic. Refused (False) past half of the pool."""
        return self._session.run("mark_failed", server, failures, by) is not None

    def remove_unanswered(
        self, server: ServerId, threshold_seconds: float, by: str, term: int | None = None
    ) -> bool:
        """Take out a server that is down and has not answered for so long.

        False if it did answer, or if more than half of the pool would have gone in this way within an hour.
        """
        reason = f"unanswered for {threshold_seconds:g} s"
        words = (server, threshold_seconds, by, reason, term or "")
        return self._session.run("remove_unanswered", *words, **self._record(server)) is not None

    def lead(self, checker: str, seconds: float) -> int | None:
        """Take or renew the health-checkers' leadership for `seconds`: its term, None if another leads.

        The term is another, and greater, whenever the lead was lost in between, even to nobody.
        """
        term: int | None = self._session.run("lead", checker, int(seconds * 1000))
        return term

    def resign(self, checker: str) -> None:
        """Give up the leadership if this health-checker has it, so that another takes over at once."""
        self._session.run("resign", checker)

    def refill(self, snapshot: Snapshot, by: str) -> bool:
        """Put a snapshot back into a store that lost it; False if the store is not behind its version."""
        if not snapshot.strategy:
            return False
        servers = [
            field
            for s in snapshot.servers
            for field in (s.id, s.url, s.weight, s.admin, s.health, s.source, s.reason, s.since)
        ]
        return self._session.run("refill", by, snapshot.version, snapshot.strategy, *servers) is not None

    # --- inner

    def _read(self) -> views.Pool:
        version, strategy, ids, *columns = self._session.run("read")
        return version, strategy, ids, columns

    def _act(self, act: str, *arguments: str | float, **own_keys: str) -> Any:
        return self._session.act(act, *arguments, self._seen, **own_keys)

    def _record(self, server: ServerId) -> dict[str, str]:
        return {"removed_server": self._keys.removed_server(server)}

    def _known(self, server: ServerId, row: Sequence[str] | None) -> Server:
        if row is None:
            raise self._unknown(server)
        return views.server_of(row)

    def _unknown(self, server: ServerId) -> UnknownServerError:
        with self._session.edge() as connection:
            present = connection.zrange(self._keys.servers, 0, -1)
        return UnknownServerError(f"{server} is not in the pool{_hint(server, present)}")

    def _block_milliseconds(self) -> int:
        timeout = self._session.connection.connection_pool.connection_kwargs.get("socket_timeout")
        return int(1000 * min(_BLOCK_SECONDS, (timeout or 2 * _BLOCK_SECONDS) / 2))


def _weight(weight: int) -> int:
    if not 1 <= weight <= MAX_WEIGHT:
        raise UsageError(f"a weight is a whole number from 1 to {MAX_WEIGHT}, not {weight}")
    return weight


def _strategy(name: str) -> str:
    if name not in STRATEGIES:
        raise UsageError(f'there is no strategy "{name}"; the strategies are {", ".join(STRATEGIES)}')
    return name


def _hint(server: str, present: Sequence[str]) -> str:
    if not present:
        return ", which is empty"
    if len(present) <= _FEW:
        return f"; it holds {', '.join(present)}"
    near = difflib.get_close_matches(server, present)
    return (
        f"; did you mean {' or '.join(near)}?"
        if near
        else f"; none of its {len(present)} servers is named alike"
    )
