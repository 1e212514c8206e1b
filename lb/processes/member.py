"""A member of the fleet: its lease line, and what it does beside the traffic that comes through it."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, Protocol, TypeVar

import gevent
from gevent.event import Event

from lb.config import Config
from lb.errors import StoreError
from lb.health.dead_workers import SILENCE_SECONDS
from lb.limited_log import LimitedLog
from lb.metrics.meters import Meters, lone
from lb.model import ServerId, Snapshot, WorkerId
from lb.processes.store import fill, fleet_of, keys_of, metrics_of, pool_of, snapshot_of, url_of
from lb.proxy.servers import KeepOnly
from lb.store.client import connect
from lb.store.fleet import Degraded
from lb.store.lease_line import LeaseLine
from lb.store.lease_wire import LeaseProtocol, dial
from lb.store.metrics import Publisher

_log = logging.getLogger(__name__)
_limited = LimitedLog(__name__)

#: A member that knows no more than the config leaves it to others so often to fill an empty store.
_LOOKS_FOR_OTHERS = 3
#: How long a worker with an older snapshot leaves the repair of a damaged pool to others.
_PATIENCE_SECONDS = 2.0

#: What the events tell of: one that was degraded for less is in its log alone.
TOLD_SECONDS = 1.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Waiting(Protocol):
    """Makes a call that waits for the store, while the other greenlets go on."""

    def __call__(self, call: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Return what the call returns, raise what it raises."""


def cooperatively(call: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Just call: in a process whose sockets are gevent's, waiting lets the others go on."""
    return call(*arguments, **named)


class Member:
    """One worker as the fleet knows it. Belongs to one gevent hub, in which it is made and called."""

    def __init__(
        self,
        config: Config,
        keep_only: KeepOnly,
        waiting: Waiting = cooperatively,
        meters: Meters | None = None,
    ) -> None:
        """`keep_only` gets the pool's members, and the addresses left out, whenever these may have changed.

        Without `meters`, which a supervisor's worker has, it counts for itself and publishes that.
        """
        self.id = WorkerId(f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}")
        self._config = config
        self._keep_only = keep_only
        self._waiting = waiting
        self.meters = meters or lone(socket.gethostname())
        self.granted = self.meters.batch  # as the lease line tells it
        self._publisher = None if meters else Publisher(metrics_of(config), self.meters.board)
        self._pool = pool_of(config)
        self._fleet = fleet_of(config)
        self._snapshot = snapshot_of(config)
        self._found_empty = 0  # in a row
        self._damaged_since: float | None = None  # monotonic seconds
        self._degraded: Degraded = (None, None)
        self._lost_reason = ""  # why it is degraded, or was the last time
        self._untold_seconds = 0.0  # for which it was degraded, until the events tell of it
        self._pool_version_changed = Event()
        self._marking: set[ServerId] = set()
        protocol = LeaseProtocol(
            self.id, keys_of(config), host=socket.gethostname(), pid=os.getpid(), started=time.time()
        )
        self.line = LeaseLine(
            partial(waiting, dial, connect(url_of(config), keys_of(config))),
            protocol,
            self,
            patience_seconds=config.timeouts.store_seconds,
            failures=config.passive_health.failures,
        )

    def join(self, *, may_degrade: bool = False) -> None:
        """Join the fleet; without a store, StoreError unless it may begin degraded."""
        self.line.update(self._snapshot)
        try:
            self.line.start()
        except StoreError as error:
            if not may_degrade:
                raise
            self.line.start_degraded(str(error))
        else:
            self._renew_snapshot()
        gevent.spawn(self._follow_pool)

    def beat(self) -> None:
        """Say that this worker lives, take back what dead ones held, and follow the pool.

        Leases tell of the pool too, but a worker without traffic must not go on, or refill the store, from
        an old snapshot.
        """
        self.meters.degraded(self.line.degraded_since is not None)
        try:
            known, version, dead = self._waiting(
                self._fleet.heartbeat,
                self.id,
                self._snapshot.version,
                SILENCE_SECONDS,
                self._degraded,
                answered=self.line.take_answered(),
                members=len(self._snapshot.servers),
                busy=any(self.line.held.values()) and self.line.degraded_since is None,
            )
            for worker in dead:
                taken = self._waiting(self._fleet.reap, worker, by=self.id, silence_seconds=SILENCE_SECONDS)
                if taken >= 0:
                    _limited.warning(
                        "worker %s is dead, took back its %d connections", worker, taken, burst=10
                    )
            self._tell_of_degradation()
            self._publish()
        except StoreError as error:
            _log.debug("no heartbeat: %s", error)  # the lease line tells when the store is lost
            return
        self.pool_changed(version)
        if not known:
            self.line.reconnect("the store does not know this worker")
        self.line.reaffirm()

    def leave(self) -> None:
        """Leave the fleet in good order: from now on nothing is counted for this worker.

        Without a word if the store is lost: to look for it may take longer than the end of a process should.
        """
        if self.line.degraded_since is not None:
            return
        try:
            self._publish(last=True)
            self._waiting(self._fleet.leave, self.id)
        except StoreError as error:
            _log.debug("left without a word: %s", error)  # the others notice the silence

    # --- what the lease line tells; called in the hub, so the work is done in greenlets

    def pool_changed(self, version: int) -> None:
        """Have the snapshot renewed."""
        if version != self._snapshot.version or not version:  # 0: there is none, or a damaged one
            self._pool_version_changed.set()

    def server_failed(self, server: ServerId, failures: int) -> None:
        """Have a server marked down when it failed often enough."""
        limit = self._config.passive_health.failures
        if not limit or failures < limit or server in self._marking:
            return
        if not self._snapshot.is_down(server):  # else it fails on, while the pool fails open
            self._marking.add(server)
            gevent.spawn(self._mark_failed, server, failures)

    def store_lost(self, reason: str) -> None:
        """Tell people that this worker is degraded."""
        self.meters.degraded(True)
        self._degraded, self._lost_reason = (time.time(), None), reason
        _limited.warning(
            "degraded, servers are picked locally: the store is lost: %s", reason, of=reason, burst=3
        )

    def store_back(self) -> None:
        """Tell people that all is well again."""
        self.meters.degraded(False)
        now = time.time()
        self._untold_seconds = now - (self._degraded[0] or now)
        self._degraded = (self._degraded[0], now)
        _limited.info("the store decides again", of=self._lost_reason, burst=3)
        self._pool_version_changed.set()

    def store_empty(self) -> None:
        """Have the pool put back from this worker's snapshot."""
        self._pool_version_changed.set()

    # ---

    def _tell_of_degradation(self) -> None:
        if self._untold_seconds >= TOLD_SECONDS:
            self._waiting(self._fleet.store_back, self.id, self._untold_seconds)
        self._untold_seconds = 0.0

    def _publish(self, *, last: bool = False) -> None:
        if self._publisher is not None:
            self._waiting(self._publisher.publish, last=last)

    def _follow_pool(self) -> None:
        while True:
            self._pool_version_changed.wait()
            self._pool_version_changed.clear()
            self._renew_snapshot()

    def _renew_snapshot(self) -> None:
        try:
            self._take_snapshot()
        except StoreError as error:
            _log.debug("no snapshot: %s", error)  # store_back asks again, and so does the next beat

    def _take_snapshot(self) -> None:
        """Read the pool, or put it back if the store holds less than this worker has seen, or damage."""
        snapshot = self._waiting(self._pool.snapshot)
        if (snapshot.damage or snapshot.version < self._snapshot.version) and self._put_back(snapshot):
            snapshot = self._waiting(self._pool.snapshot)
        if snapshot.damage:
            return
        self._damaged_since = None
        if not snapshot.version:
            self._fill_from_config()
            return
        left_out = self._waiting(self._pool.left_out)
        self._found_empty = 0
        self._snapshot = snapshot
        self.line.update(snapshot)
        self._keep_only({server.id for server in snapshot.servers}, left_out)

    def _put_back(self, found: Snapshot) -> bool:
        """Put back what the store has lost, if this worker knows it, or after a while nobody better."""
        now = time.monotonic()
        if self._damaged_since is None:
            self._damaged_since = now
        last_resort = now - self._damaged_since > _PATIENCE_SECONDS
        own = self._snapshot
        if not self._waiting(self._pool.refill, own, by=self.id, gaps=last_resort):
            return False
        if found.damage:
            _limited.warning(
                "the pool in the store was damaged (%s): repaired it, from version %d",
                found.damage,
                own.version,
                burst=3,
            )
        else:
            _limited.warning(
                "the store was at version %d: put the pool back at version %d", found.version, own.version
            )
        return True

    def _mark_failed(self, server: ServerId, failures: int) -> None:
        try:
            if self._waiting(self._pool.mark_failed, server, failures, by=self.id):
                self.meters.ejected(server)
                _limited.warning(
                    "%s is down: %d failed requests in a row", server, failures, of=server, burst=3
                )
        except StoreError as error:
            _limited.warning("cannot mark %s down: %s", server, error)
        finally:
            self._marking.discard(server)

    def _fill_from_config(self) -> None:
        """Make the pool anew, if nobody who has seen it before puts it back."""
        self._found_empty += 1
        if self._found_empty > _LOOKS_FOR_OTHERS:
            self._waiting(fill, self._pool, self._config)
