"""The worker's process: forwards traffic until told to stop."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import socket
import time
from functools import partial

import gevent
from gevent.event import Event

from lb.config import Config
from lb.errors import StoreError
from lb.model import Admin, Health, Server, ServerId, Snapshot, Source, WorkerId
from lb.processes.control import BEAT_SECONDS, Control
from lb.processes.store import fleet_of, keys_of, pool_of, url_of
from lb.proxy.plane import DataPlane
from lb.store.client import connect
from lb.store.fleet import Degraded
from lb.store.lease_line import LeaseLine
from lb.store.lease_wire import LeaseProtocol, dial

_log = logging.getLogger(__name__)

#: A worker that is silent for so long is taken for dead by the others, which take its connections back.
SILENCE_SECONDS = 3.0

#: A worker that knows no more than the config leaves it to others so often to fill an empty store.
_LOOKS_FOR_OTHERS = 3


def run(config: Config, listener: socket.socket, control: Control) -> None:
    """Serve clients of `listener` until SIGTERM or SIGINT, or until the supervisor is gone.

    After SIGUSR2, which says that another worker has taken over, only until the last client is done.
    A worker of a supervisor, which has seen the store, begins degraded if it is away now: clients wait. One
    that is on its own, StoreError.
    """
    worker = Worker(config, listener)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, worker.stop.set)
    gevent.signal_handler(signal.SIGUSR2, worker.retire)
    worker.start(may_degrade=control.fileno() is not None)
    control.ready()
    gevent.spawn(_beat, worker, control)
    worker.stop.wait()
    worker.finish()


def _beat(worker: Worker, control: Control) -> None:
    """Give signs of life until the end, also while the last clients are waited for."""
    while not control.lost():
        control.beat()
        worker.beat()
        gevent.sleep(BEAT_SECONDS)
    worker.stop.set()


class Worker:
    """One worker: its lease line, its data plane, and what it does beside the traffic."""

    def __init__(self, config: Config, listener: socket.socket) -> None:
        self.stop = Event()
        self.id = WorkerId(f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}")
        self._config = config
        self._pool = pool_of(config)
        self._fleet = fleet_of(config)
        self._snapshot = _snapshot_of(config)
        self._found_empty = 0  # in a row
        self._degraded: Degraded = (None, None)
        self._pool_version_changed = Event()
        self._marking: set[ServerId] = set()
        protocol = LeaseProtocol(
            self.id, keys_of(config), host=socket.gethostname(), pid=os.getpid(), started=time.time()
        )
        self._line = LeaseLine(
            partial(dial, connect(url_of(config), keys_of(config))),
            protocol,
            self,
            patience_seconds=config.timeouts.store_seconds,
            failures=config.passive_health.failures,
        )
        self._plane = DataPlane(config, self._line, listener)

    def start(self, *, may_degrade: bool = False) -> None:
        """Join the fleet and begin to accept; without a store, StoreError unless it may begin degraded."""
        self._line.update(self._snapshot)
        try:
            self._line.start()
        except StoreError as error:
            if not may_degrade:
                raise
            self._line.start_degraded(str(error))
        else:
            self._renew_snapshot()
        gevent.spawn(self._follow_pool)
        # What lives until now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self._plane.start()

    def beat(self) -> None:
        """Say that this worker lives, take back what dead ones held, and follow the pool.

        Leases tell of the pool too, but a worker without traffic must not go on, or refill the store, from
        an old snapshot.
        """
        try:
            known, version, dead = self._fleet.heartbeat(
                self.id,
                self._snapshot.version,
                SILENCE_SECONDS,
                self._degraded,
                answered=self._line.take_answered(),
            )
            for worker in dead:
                taken = self._fleet.reap(worker, by=self.id, silence_seconds=SILENCE_SECONDS)
                if taken >= 0:
                    _log.warning("worker %s is dead, took back its %d connections", worker, taken)
        except StoreError as error:
            _log.debug("no heartbeat: %s", error)  # the lease line tells when the store is lost
            return
        self.pool_changed(version)
        if not known:
            self._line.reconnect("the store does not know this worker")

    def retire(self) -> None:
        """Accept no more clients, and stop by itself once the last has left, within a limit."""
        gevent.spawn(self._plane.retire, self._config.retire_timeout_seconds).link(lambda _: self.stop.set())

    def finish(self) -> None:
        """Stop in good order: requests in flight finish, within limits."""
        cut = self._plane.stop(self._config.graceful_timeout_seconds)
        if cut:
            _log.warning(
                "cut %d clients that were not done in %g s", cut, self._config.graceful_timeout_seconds
            )
        self._leaving = True
        try:
            self._fleet.leave(self.id)
        except StoreError as error:
            _log.debug("left without a word: %s", error)  # the others notice the silence

    # --- what the lease line tells; called in the hub, so the work is done in greenlets

    def pool_changed(self, version: int) -> None:
        """Have the snapshot renewed."""
        if version != self._snapshot.version:
            self._pool_version_changed.set()

    def server_failed(self, server: ServerId, failures: int) -> None:
        """Have a server marked down when it failed often enough."""
        limit = self._config.passive_health.failures
        if limit and failures >= limit and server not in self._marking:
            self._marking.add(server)
            gevent.spawn(self._mark_failed, server, failures)

    def store_lost(self, reason: str) -> None:
        """Tell people that this worker is degraded."""
        self._degraded = (time.time(), None)
        _log.warning("degraded, servers are picked locally: the store is lost: %s", reason)

    def store_back(self) -> None:
        """Tell people that all is well again."""
        self._degraded = (self._degraded[0], time.time())
        _log.info("the store decides again")
        self._pool_version_changed.set()

    def store_empty(self) -> None:
        """Have the pool put back from this worker's snapshot."""
        self._pool_version_changed.set()

    # ---

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
        """Read the pool, or put it back if the store holds less than this worker has seen."""
        snapshot = self._pool.snapshot()
        if snapshot.version < self._snapshot.version and self._pool.refill(self._snapshot, by=self.id):
            _log.warning(
                "the store was at version %d: put the pool back at version %d",
                snapshot.version,
                self._snapshot.version,
            )
            snapshot = self._pool.snapshot()
        if not snapshot.version:
            self._fill_from_config()
            return
        self._found_empty = 0
        self._snapshot = snapshot
        self._line.update(snapshot)
        self._plane.keep_only({server.id for server in snapshot.servers})

    def _mark_failed(self, server: ServerId, failures: int) -> None:
        try:
            if self._pool.mark_failed(server, failures, by=self.id):
                _log.warning("%s is down: %d failed requests in a row", server, failures)
        except StoreError as error:
            _log.warning("cannot mark %s down: %s", server, error)
        finally:
            self._marking.discard(server)

    def _fill_from_config(self) -> None:
        """Make the pool anew, if nobody who has seen it before puts it back."""
        self._found_empty += 1
        if self._found_empty > _LOOKS_FOR_OTHERS:
            self._pool.reconcile(self._config.servers, self._config.strategy, "config")


def _snapshot_of(config: Config) -> Snapshot:
    """Return the pool as the config has it: all there is to pick from until the store tells more."""
    servers = (
        Server(spec.id, spec.url, spec.weight, Admin.READY, Health.UP, Source.CONFIG, "", 0.0)
        for spec in config.servers
    )
    return Snapshot(0, config.strategy, tuple(servers))
