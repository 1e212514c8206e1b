"""BackendPool: everything that reads or changes the pool, each method one atomic step in the store."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import redis

from lb.errors import ConflictError, StoreError, UnknownServerError
from lb.model import (
    Admin,
    Event,
    RemovedServer,
    Server,
    ServerId,
    ServerSpec,
    ServerStatus,
    Snapshot,
    Source,
)
from lb.store import values, views
from lb.store.health import HealthActs
from lb.store.keys import SCHEMA, Keys
from lb.store.refusals import checked_strategy, checked_weight, not_in_pool, not_removed
from lb.store.session import Session

_BLOCK_SECONDS = 5.0


class BackendPool(HealthActs):
    """The pool in the store. Once an act has returned, every later pick by any worker obeys it.

    All methods raise StoreUnavailableError if the store cannot serve now, and StoreError if it cannot be used
    at all. `by` names who acts, for the events.
    """

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)
        self._keys = keys
        self._seen = ""  # the versions that operators' acts insist on, joined by commas; empty: any

    def at(self, versions: Collection[int]) -> BackendPool:
        """Return a view of this pool whose operators' acts raise OutdatedError at any other version."""
        pool = BackendPool(self._session.connection, self._keys)
        pool._seen = ",".join(map(str, versions)) or "none"
        return pool

    # --- reading

    def ping(self) -> None:
        """Check that the store answers, and holds a pool of our schema or none yet; StoreError if not."""
        found = self._session.read("get", self._keys.schema) or SCHEMA
        if 1 <= values.whole(found) <= 9999 and found != SCHEMA:  # else it is damage, which workers repair
            raise StoreError(
                f"the store at {self._session.address} holds a pool of schema {found}, this version of lb "
                f"works with schema {SCHEMA}: use the lb that wrote it, or another database"
            )

    def eviction(self) -> str | None:
        """Return the policy by which a full store drops keys; None if it drops none, or does not tell us."""
        try:
            with self._session.edge() as connection:
                memory = connection.info("memory")
        except StoreError:  # a user may well have no right to INFO
            return None
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        return policy if memory.get("maxmemory") and policy != "noeviction" else None

    def snapshot(self) -> Snapshot:
        """Read the members; version 0 and no strategy if the store holds no pool."""
        return views.snapshot_of(self._read())

    def version(self) -> int:
        """Read the pool's version, 0 if the store holds no pool."""
        return values.whole(self._session.read("get", self._keys.version))

    def list(self) -> Sequence[ServerStatus]:
        """Read the members in pool order, with their live figures."""
        return views.statuses_of(self._read())

    def look(self) -> tuple[Snapshot, Sequence[ServerStatus]]:
        """Read `snapshot` and `list` at the same instant."""
        pool = self._read()
        return views.snapshot_of(pool), views.statuses_of(pool)

    def removed(self) -> Sequence[RemovedServer]:
        """Read the servers that can be restored, the most recently removed first."""
        removals = self._session.read("zrevrange", self._keys.removed, 0, -1, withscores=True) or []
        records = self._session.hashes([self._keys.removed_server(server) for server, _ in removals])
        awaited = set(self._session.read("zrange", self._keys.removed_unanswered, 0, -1) or [])
        read = (
            views.removed_of(server, at, record, returns=server in awaited)
            for (server, at), record in zip(removals, records, strict=True)
        )
        return [record for record in read if record]  # others were restored between the two reads

    def events(self, count: int = 100, after: str = "-") -> Sequence[Event]:
        """Read up to `count` events in the order in which they happened.

        Without `after` they are the newest. With the id of an event they are those that directly follow it,
        so the id of the last one leads to the next page.
        """
        if after == "-":
            entries = (self._session.read("xrevrange", self._keys.events, count=count) or [])[::-1]
        else:
            entries = self._session.read("xrange", self._keys.events, min=f"({after}", count=count) or []
        return [views.event_of(entry) for entry in entries]

    def follow_events(self, after: str = "$") -> Iterator[Event]:
        """Yield events as they happen, for ever: those after the id `after`, or only new ones for "$"."""
        position = after
        if after == "$":
            newest = self.events(count=1)
            position = newest[0].id if newest else "0-0"
        while True:
            block = self._block_milliseconds()
            streams = self._session.read("xread", {self._keys.events: position}, block=block)
            if streams is None:  # no stream at all: the next event makes it one
                time.sleep(block / 1000)
            for _, entries in streams or ():
                for entry in entries:
                    position = entry[0]
                    yield views.event_of(entry)

    def now(self) -> float:
        """Read the store's clock, which all times in it are by: unix seconds."""
        with self._session.edge() as connection:
            seconds, microseconds = connection.time()
        return float(seconds + microseconds / 1e6)

    def leader(self) -> str | None:
        """Read the id of the leading health-checker; None if none leads."""
        leader = self._session.read("get", self._keys.checker)
        return values.printable(leader) if leader else None

    # --- operators' acts; UnknownServerError, with a hint, for a server that is not in the pool

    def add(self, spec: ServerSpec, source: Source, by: str) -> Server:
        """Add a server, ready and up, and drop any record of its removal; ConflictError if it is a member."""
        weight = checked_weight(spec.weight)
        row = self._act("add", spec.id, spec.url, weight, source, by, **self._record(spec.id))
        if row is None:
            raise ConflictError(f"{spec.id} is in the pool already")
        return views.server_of(row)

    def remove(self, server: ServerId, by: str) -> None:
        """Remove a server; requests in flight to it go on. It can be restored for 30 days.

        One that was removed for silence is awaited no longer.
        """
        if self._act("remove", server, by, **self._record(server)) is None:
            raise self._unknown(server)

    def restore(self, server: ServerId, by: str) -> Server:
        """Bring back a removed server with its URL, weight and source."""
        row = self._act("restore", server, by, **self._record(server))
        if row is None:
            raise not_removed(server, [record.id for record in self.removed()])
        return views.server_of(row)

    def set_admin(self, server: ServerId, admin: Admin, by: str) -> Server:
        """Set what the operator wants of a server: ready, drain or maint."""
        return self._known(server, self._act("set_admin", server, admin, by))

    def set_weight(self, server: ServerId, weight: int, by: str) -> Server:
        """Set a server's share of the requests, 1 to 256; UsageError for any other number."""
        return self._known(server, self._act("set_weight", server, checked_weight(weight), by))

    def set_strategy(self, name: str, by: str) -> None:
        """Choose the strategy; UsageError if there is none of that name."""
        self._act("set_strategy", checked_strategy(name), by)

    def reconcile(
        self, specs: Sequence[ServerSpec], strategy: str, by: str, *, fail_open: bool = True
    ) -> Sequence[ServerId]:
        """Make the servers that came from the config those that it names now; return those that left.

        A weight or the strategy is set only if the config has changed it since it was last reconciled. So
        what operators set survives a restart with the same config, and so do the servers that they added. A
        store without a pool gets one.
        """
        servers = [field for spec in specs for field in (spec.id, spec.url, checked_weight(spec.weight))]
        records = [self._keys.removed_server(spec.id) for spec in specs]
        words = (by, checked_strategy(strategy), views.switch(fail_open), *servers)
        left = self._session.act("reconcile", *words, further_keys=records)
        return [ServerId(server) for server in left]

    # ---

    def refill(self, snapshot: Snapshot, by: str, *, gaps: bool = False) -> bool:
        """Restore a pool that is behind the snapshot's version, or of that version but damaged; else False.

        What is derived from the rest of a pool is made again in any case. With `gaps`, a damaged pool of a
        later version keeps what is whole in it, and the snapshot fills the gaps: if nobody knows better.
        """
        if not snapshot.strategy:
            return False
        servers = [
            field
            for s in snapshot.servers
            for field in (s.id, s.url, s.weight, s.admin, s.health, s.source, s.reason, s.since)
        ]
        words = (
            by,
            snapshot.version,
            snapshot.strategy,
            int(gaps),
            views.switch(snapshot.fail_open),
            *servers,
        )
        records = [self._keys.removed_server(server.id) for server in snapshot.servers]
        return self._session.run("refill", *words, further_keys=records) is not None

    def _read(self) -> views.Pool:
        version, strategy, fail_open, damage, ids, *columns = self._session.run("read")
        return version, strategy, fail_open, damage, ids, columns

    def _act(self, act: str, *arguments: str | float, **own_keys: str) -> Any:
        return self._session.act(act, *arguments, self._seen, **own_keys)

    def _record(self, server: ServerId) -> dict[str, str]:
        return {"removed_server": self._keys.removed_server(server)}

    def _known(self, server: ServerId, row: Sequence[str] | None) -> Server:
        if row is None:
            raise self._unknown(server)
        return views.server_of(row)

    def _unknown(self, server: ServerId) -> UnknownServerError:
        present = self._session.read("zrange", self._keys.servers, 0, -1) or []
        return not_in_pool(server, present)

    def _block_milliseconds(self) -> int:
        timeout = self._session.connection.connection_pool.connection_kwargs.get("socket_timeout")
        return int(1000 * min(_BLOCK_SECONDS, (timeout or 2 * _BLOCK_SECONDS) / 2))
