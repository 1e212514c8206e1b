"""The worker's process: forwards traffic until told to stop."""

from __future__ import annotations

import gc
import logging
import signal
import socket
from collections.abc import Collection, Mapping

import gevent
from gevent.event import Event

from lb.config import Config
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard
from lb.model import ServerId
from lb.processes.control import BEAT_SECONDS, Control
from lb.processes.member import Member
from lb.proxy import descriptors
from lb.proxy.headers import header_settings
from lb.proxy.plane import DataPlane
from lb.proxy.preflight import preflight

_log = logging.getLogger(__name__)


def try_out(config: Config) -> None:
    """Try what needs neither store nor port; ConfigError if this worker could never serve."""
    preflight(header_settings(config))


def run(
    config: Config,
    listener: socket.socket,
    control: Control,
    board: Scoreboard | None = None,
    slot: int | None = None,
) -> None:
    """Serve clients of `listener` until SIGTERM or SIGINT, or until the supervisor is gone.

    After SIGUSR2, which says that another worker has taken over, only until the last client is done.
    A worker of a supervisor, which has seen the store, begins degraded if it is away now: clients wait. One
    that is on its own, StoreError.
    """
    meters = None if board is None or slot is None else Meters(board, slot)
    worker = Worker(config, listener, meters)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, worker.stop.set)
    gevent.signal_handler(signal.SIGUSR2, worker.retire)
    gevent.signal_handler(signal.SIGUSR1, worker.reopen_log)
    supervised = control.fileno() is not None
    if not supervised and (too_few := descriptors.shortage(config.limits.clients)):
        _log.warning("%s", too_few)  # the supervisor says it for all workers
    worker.start(may_degrade=supervised)
    control.ready()
    gevent.spawn(control.beat_until_lost, gevent.sleep).link(lambda _: worker.stop.set())
    worker.stop.wait()
    worker.finish()


class Worker:
    """One worker: a member of the fleet, and the data plane that it leases servers for."""

    def __init__(self, config: Config, listener: socket.socket, meters: Meters | None = None) -> None:
        self.stop = Event()
        self._config = config
        self.member = Member(config, self._keep_only, meters=meters)
        self._plane = DataPlane(config, self.member.line, listener, self.member.meters)
        # Apart from the signs of life, as it may wait long for the store, or for a name server.
        self._beating = gevent.Greenlet(self._beat)
        self._beating.link_exception(lambda _: self.stop.set())

    def start(self, *, may_degrade: bool = False) -> None:
        """Join the fleet and begin to accept; without a store, StoreError unless it may begin degraded."""
        self.member.join(may_degrade=may_degrade)
        # What lives until now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        self._plane.start()
        self._beating.start()

    def retire(self) -> None:
        """Accept no more clients, and stop by itself once the last has left, within a limit."""
        gevent.spawn(self._plane.retire, self._config.retire_timeout_seconds).link(lambda _: self.stop.set())

    def reopen_log(self) -> None:
        """Write the access log on to a file of the same name, after a rotation."""
        self._plane.reopen_log()

    def finish(self) -> None:
        """Stop in good order: requests in flight finish, within limits."""
        cut = self._plane.stop(self._config.graceful_timeout_seconds)
        if cut:
            _log.warning(
                "cut %d clients that were not done in %g s", cut, self._config.graceful_timeout_seconds
            )
        self._beating.kill()
        self.member.leave()

    def _beat(self) -> None:
        while True:
            self.member.beat()
            self._plane.look()
            gevent.sleep(BEAT_SECONDS)

    def _keep_only(self, members: Collection[ServerId], left_out: Mapping[ServerId, frozenset[str]]) -> None:
        self._plane.keep_only(members, left_out)
