"""HealthActs: what the health-checker, and failures on real traffic, change of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lb.model import Check, Health, RemovedServer, ServerId
from lb.store import views
from lb.store.keys import Keys
from lb.store.session import Session


class HealthActs:
    """With the `term` of a lead that has ended, these change nothing and raise StoreError."""

    _session: Session
    _keys: Keys

    def record_check(
        self, server: ServerId, check: Check, term: int | None = None, settings: str = ""
    ) -> None:
        """Record the outcome of a check, and since when checks go unanswered. Does not change the health.

        `settings` is a fingerprint of those that it was made with.
        """
        milliseconds = f"{check.duration_seconds * 1000:.1f}"
        outcome, answered = views.outcome(check), int(check.answered)
        self._session.run("record_check", server, outcome, milliseconds, answered, term or "", settings)

    def check_settings(self) -> Mapping[ServerId, str]:
        """Read the fingerprint of the settings that each server's last check was made with."""
        [found] = self._session.hashes([self._keys.check_settings])
        return {ServerId(server): settings for server, settings in found.items()}

    def left_out(self) -> Mapping[ServerId, frozenset[str]]:
        """Read which addresses of servers workers use only if no other of the same server can be reached."""
        found: dict[ServerId, str] = self._session.read("hgetall", self._keys.left_out) or {}
        return {server: frozenset(addresses.split()) for server, addresses in found.items()}

    def leave_out(
        self, server: ServerId, addresses: Sequence[str], detail: str, by: str, term: int | None = None
    ) -> bool:
        """Say which they are; False if it was so already. `detail` is what the event says of it."""
        words = (server, " ".join(addresses), detail, by, term or "")
        return self._session.run("leave_out", *words) is not None

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
        """Mark a server up or down; False if it is so already or has left the pool.

        Up clears its failures and reason. Down because it is `silent`, that is, leaves checks unanswered, is
        refused (False) for more than half of the pool as long as servers answer requests: then it is rather
        the health-checker that is cut off.
        """
        words = (server, health, reason, by, term or "", int(silent))
        return self._session.run("set_health", *words) is not None

    def mark_failed(self, server: ServerId, failures: int, by: str) -> bool:
        """Mark a server down for failures on real traffic; refused (False) for more than half of the pool."""
        return self._session.run("mark_failed", server, failures, by) is not None

    def remove_unanswered(
        self, server: ServerId, threshold_seconds: float, by: str, term: int | None = None
    ) -> bool:
        """Remove a server that is down and has left its checks unanswered for that long.

        False if it has answered since, if an operator has drained it, if more than half of the pool would be
        gone within an hour, or if no server is up though servers answer requests.
        """
        reason = f"unanswered for {threshold_seconds:g} s"
        words = (server, threshold_seconds, by, reason, term or "")
        record = self._keys.removed_server(server)
        return self._session.run("remove_unanswered", *words, removed_server=record) is not None

    def awaited(self) -> Sequence[RemovedServer]:
        """Read the servers that were removed for silence and may come back, the longest gone first."""
        removals = self._session.read("zrange", self._keys.removed_unanswered, 0, -1, withscores=True) or []
        records = self._session.hashes([self._keys.removed_server(server) for server, _ in removals])
        found = (
            views.removed_of(server, at, record, returns=True)
            for (server, at), record in zip(removals, records, strict=True)
        )
        return [server for server in found if server]

    def bring_back(self, server: ServerId, by: str, term: int | None = None) -> bool:
        """Bring back a server that was removed for silence; False if it is no longer awaited."""
        record = self._keys.removed_server(server)
        return self._session.run("bring_back", server, by, term or "", removed_server=record) is not None

    def lead(self, checker: str, seconds: float) -> int | None:
        """Take or renew the lead among the health-checkers for `seconds`.

        Return the term of the lead, None if another leads. A lead that has ended, even if nobody took it, is
        followed by one of a greater term.
        """
        term: int | None = self._session.run("lead", checker, int(seconds * 1000))
        return term

    def resign(self, checker: str) -> None:
        """Give up the lead if this health-checker has it, so that another can take it at once."""
        self._session.run("resign", checker)
