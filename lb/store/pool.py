"""BackendPool: every act on the pool and every look at it, each one atomic in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lb.model import (
    Admin, Check, Event, Health, RemovedServer, Server, ServerId, ServerSpec, ServerStatus, Snapshot, Source,
)
from lb.store.keys import Keys


class BackendPool:
    """The pool in the store. Each method is one typed act; once it returned, every later pick obeys it.

    All methods raise StoreUnavailableError if the store does not answer; `by` names who acts, for the events.
    """

    def __init__(self, connection: object, keys: Keys) -> None: ...

    # looks
    def ping(self) -> None:
        """Check that the store answers and holds our schema (or nothing yet): StoreError if not."""
    def snapshot(self) -> Snapshot: ...
    def version(self) -> int: ...
    def list(self) -> list[ServerStatus]:
        """All servers in pool order with live figures, read atomically."""
    def removed(self) -> list[RemovedServer]: ...
    def events(self, count: int = 100, after: str = "-") -> list[Event]:
        """The newest `count` events, oldest first; only those behind stream id `after` if given."""
    def follow_events(self, after: str = "$") -> Iterator[Event]:
        """Block for new events, for ever."""

    # acts of operators; ServerId arguments that are not in the pool raise UnknownServerError (names near ones)
    def add(self, spec: ServerSpec, source: Source, by: str) -> Server:
        """ConflictError if it is there already. New servers are ready and up. Forgets a removed record."""
    def remove(self, server: ServerId, by: str, reason: str = "") -> None: ...
    def restore(self, server: ServerId, by: str) -> Server:
        """Bring back a removed server with its URL, weight, source. UnknownServerError if none such."""
    def set_admin(self, server: ServerId, admin: Admin, by: str) -> Server: ...
    def set_weight(self, server: ServerId, weight: int, by: str) -> Server: ...
    def set_strategy(self, name: str, by: str) -> None: ...
    def reconcile(self, specs: Sequence[ServerSpec], strategy: str, by: str) -> None:
        """Make the pool's config-sourced servers those of the config; leave what operators added.

        Also sets the strategy if the config names another than at the last reconcile, and the schema if new.
        """

    # health
    def record_check(self, server: ServerId, check: Check) -> None: ...
    def set_health(self, server: ServerId, health: Health, reason: str, by: str) -> bool:
        """Flip; False if it was so already or the server is gone. Up clears failures and reason."""
    def mark_failed(self, server: ServerId, failures: int, by: str) -> bool:
        """Mark down for failures on real traffic. Refused (False) past half of the pool."""
    def remove_unanswered(self, server: ServerId, threshold_seconds: float, by: str) -> bool: ...
    def lead(self, checker: str, seconds: float) -> bool:
        """Take or renew the health-checkers' leadership for `seconds`; False if another leads."""
    def refill(self, snapshot: Snapshot, by: str) -> bool:
        """Put a snapshot back into an *empty* store; False if it is not empty."""
