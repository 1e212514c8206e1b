"""Checker: checks every server in turn and reports to the pool, as long as it leads the health-checkers."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lb.config import Config
from lb.errors import StoreError
from lb.health.address_watch import AddressWatch
from lb.health.checks import CheckType
from lb.health.finding import Finding
from lb.health.rise_fall import observe
from lb.limited_log import LimitedLog
from lb.model import Admin, Health, Server, ServerId, Snapshot
from lb.store.pool import BackendPool

_log = logging.getLogger(__name__)
_limited = LimitedLog(__name__)

#: What the events call all health-checkers.
BY = "health-checker"

#: How the reason begins of a server that checks took down.
_BY_CHECK = "check: "

#: The pool is read twice in each interval, and at least so often, so that a new server need not wait long.
LOOKS, LOOK_SECONDS = 2, 1.0

#: A lead lasts for so many intervals, within these bounds, and is renewed whenever the pool is read. Once it
#: has run out, the next health-checker takes it: within three intervals after a leader was killed or froze.
LEASE_INTERVALS = 2.4
SHORTEST_LEASE_SECONDS, LONGEST_LEASE_SECONDS = 1.0, 10.0

#: The time between two checks of a server varies by this share, so that the checks do not come in bursts.
JITTER = 0.1
#: Checks start in steps of this share of the interval, and at least so often.
STEP, LONGEST_STEP_SECONDS = 0.05, 0.25


@dataclass(slots=True)
class _Watch:
    """What the checker remembers of one server."""

    health: Health  # as last seen in the store
    since: float | None  # when that was said; None if we said it
    due: float  # when the next check starts, by the checker's clock
    outdated: bool  # its health is what checks with other settings have found
    streak: int = 0  # consecutive checks that contradict `health`
    in_flight: bool = False  # a check is on its way
    addresses: AddressWatch | None = None  # of its name
    left_out: Sequence[str] = ()
    name_problem: str = ""  # why its name could not be looked up


class Checker:
    """Checks the servers of the pool: `tick` starts what is due, each check on its own: none delays another.

    Who is in the pool, and its health, is the store's to know; what is remembered here ends with the lead.
    """

    def __init__(  # noqa: PLR0913 - concurrency, clock and chance are passed in
        self,
        pool: BackendPool,
        check: CheckType,
        config: Config,
        name: str,
        *,
        spawn: Callable[..., object],
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`name` identifies this checker in the store; `spawn` starts a call and returns at once."""
        self._pool = pool
        self._check = check
        self._settings = config.health_check
        self._fingerprint = config.health_check.fingerprint
        self._interval = config.health_check_interval_seconds
        self._threshold = config.threshold_seconds
        self._name = name
        self._spawn = spawn
        self._clock = clock
        self._uniform = uniform
        self._look_seconds = min(self._interval / LOOKS, LOOK_SECONDS)
        self._step_seconds = min(self._interval * STEP, LONGEST_STEP_SECONDS)
        self._look_due = 0.0
        self._leads_until = 0.0
        self._fails_open = False  # as it was last logged
        self._term: int | None = None  # of the lead, None while another leads
        self._servers: dict[ServerId, Server] = {}
        self._watches: dict[ServerId, _Watch] = {}

    @property
    def term(self) -> int | None:
        """The term of its lead; None while another health-checker leads, or might."""
        return self._term if self._clock() < self._leads_until else None

    def tick(self) -> float:
        """Start the checks that are due, and return the seconds until the next tick.

        Raises StoreError if the store cannot be read.
        """
        now = self._clock()
        if now >= self._look_due:
            self._look()
            self._look_due = now + self._look_seconds
        for server in self._servers.values():
            watch = self._watches[server.id]
            if watch.due <= now and not watch.in_flight:
                self._start(server, watch)
        return self._step_seconds

    def forget(self) -> None:
        """Forget all streaks, and ignore the outcome of the checks in flight: they are no longer valid."""
        self._servers, self._watches = {}, {}

    def resign(self) -> None:
        """Give up the lead, so that another takes over at once."""
        self.forget()
        self._pool.resign(self._name)

    def _look(self) -> None:
        """Read who is in the pool, if this checker leads."""
        term = self._lead()
        if term is None or term != self._term:
            self.forget()
        self._term = term
        if term is None:
            return
        snapshot = self._pool.snapshot()
        if snapshot.damage and self._servers:
            return  # it checks those that it knows until a worker has repaired the pool
        self._log_fail_open(snapshot)
        servers = snapshot.servers
        self._servers = {server.id: server for server in servers if server.admin is not Admin.MAINT}
        outdated = self._outdated()
        self._watches = {
            server.id: self._watch(server, server.id in outdated) for server in self._servers.values()
        }

    def _outdated(self) -> set[ServerId]:
        """Return the servers that checks with other settings have taken down, as the store remembers."""
        unknown = [server for server in self._servers.values() if server.id not in self._watches]
        down = {server.id for server in unknown if server.reason.startswith(_BY_CHECK)}
        made_with = self._pool.check_settings() if down else {}
        return {server for server in down if made_with.get(server) != self._fingerprint}

    def _watch(self, server: Server, outdated: bool) -> _Watch:  # noqa: FBT001
        """Go on watching a server; one that is new, or is back, is checked at once."""
        watch = self._watches.get(server.id)
        if watch is not None and watch.since in (None, server.since):
            watch.since = server.since
            return watch
        return _Watch(server.health, server.since, due=self._clock(), outdated=outdated)

    def _log_fail_open(self, snapshot: Snapshot) -> None:
        if snapshot.fails_open is self._fails_open:
            return
        self._fails_open = snapshot.fails_open
        if self._fails_open:
            _limited.warning(
                "no server is up: requests go to all that are ready (healthCheck.failOpen)",
                of="open",
                burst=3,
            )
        else:
            _limited.info("the pool no longer fails open", of="closed", burst=3)

    def _lead(self) -> int | None:
        lease = min(max(LEASE_INTERVALS * self._interval, SHORTEST_LEASE_SECONDS), LONGEST_LEASE_SECONDS)
        asked = self._clock()
        term = self._pool.lead(self._name, lease)
        self._leads_until = asked if term is None else asked + lease
        return term

    def _start(self, server: Server, watch: _Watch) -> None:
        watch.in_flight = True
        watch.due = self._clock() + self._interval * self._uniform(1 - JITTER, 1 + JITTER)
        self._spawn(self._run, server, watch)

    def _run(self, server: Server, watch: _Watch) -> None:
        try:
            check = self._check(server, self._settings)
            # Meanwhile the server may have left the pool, or another checker may lead. The store refuses
            # reports with an old term anyway; this only saves sending them.
            if self._watches.get(server.id) is watch and self._clock() < self._leads_until:
                self._report(self._servers[server.id], watch, check)
        except StoreError as error:
            _log.debug("the check of %s is lost: %s", server.id, error)  # the next tick reports the reason
        finally:
            watch.in_flight = False

    def _report(self, server: Server, watch: _Watch, check: Finding) -> None:
        if check.not_made:
            _limited.warning("server %s is not checked: %s", server.id, check.detail, of="not made")
            return
        term = self._term  # all of the report is made with the term that it began in
        self._pool.record_check(server.id, check, term, self._fingerprint)
        self._judge_addresses(server, watch, check, term)  # first: a server that comes up brings no sick ones
        self._judge(server, watch, check, term)
        _log_name_problem(server, watch, check)
        if check.answered or watch.health is Health.UP or self._threshold is None:
            return
        if self._pool.remove_unanswered(server.id, self._threshold, BY, term):
            words = (server.id, self._threshold)
            _limited.warning("server %s is removed: no answer for %g s", *words, of=server.id, burst=3)

    def _judge(self, server: Server, watch: _Watch, check: Finding, term: int | None) -> None:
        """Change the server's health if enough consecutive checks say so."""
        if server.health is not watch.health:  # changed by failures on real traffic, or by another checker
            watch.health, watch.streak = server.health, 0
        outdated, watch.outdated = watch.outdated, False
        rise, fall = 1 if outdated else self._settings.rise, self._settings.fall
        health, watch.streak = observe(watch.health, watch.streak, check.passed, rise, fall)
        if health is watch.health and not outdated:
            return
        watch.health, watch.since = health, None
        reason = f"{_BY_CHECK}{check.detail}"
        if self._pool.set_health(server.id, health, reason, BY, term=term, silent=not check.answered):
            advice = f"; see {check.where_to_look}" if health is Health.DOWN and check.where_to_look else ""
            words = (server.id, health, reason, advice)
            _limited.warning("server %s is %s: %s%s", *words, of=(server.id, health), burst=3)

    def _judge_addresses(self, server: Server, watch: _Watch, check: Finding, term: int | None) -> None:
        """Have workers leave out the addresses of a name that fail while others of it pass."""
        if not check.addresses and (check.name_problem or watch.addresses is None):
            return
        if watch.addresses is None:
            watch.left_out = sorted(self._pool.left_out().get(server.id, ()))
            watch.addresses = AddressWatch(watch.left_out)
        rise, fall = self._settings.rise, self._settings.fall
        before, watch.left_out = watch.left_out, watch.addresses.observe(check.addresses, rise, fall)
        if not before and not watch.left_out:
            return
        failing = [f"{address}: {check.addresses[address] or 'passes again'}" for address in watch.left_out]
        detail = f"left out: {', '.join(failing)}" if failing else "all are used"
        if self._pool.leave_out(server.id, watch.left_out, detail, BY, term):
            _limited.warning("addresses of server %s: %s", server.id, detail, of=server.id, burst=3)


def _log_name_problem(server: Server, watch: _Watch, check: Finding) -> None:
    before, watch.name_problem = watch.name_problem, check.name_problem
    if check.name_problem and not before:
        _limited.warning(
            "server %s: its name cannot be looked up: %s",
            server.id,
            check.name_problem,
            of=server.id,
            burst=3,
        )
    elif before and not check.name_problem:
        _limited.info("server %s: its name is found again", server.id, of=(server.id, "found"), burst=3)
