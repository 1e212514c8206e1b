"""The health-checker's process: the checker ticks until told to stop, and waits for a store that is away."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import gevent
from gevent.event import Event

from lb.api.counted import Counted
from lb.config import Config
from lb.errors import StoreError
from lb.health.checker import BY, Checker
from lb.health.checks import CHECKS
from lb.health.dead_workers import DeadWorkers
from lb.health.messenger import Messenger
from lb.health.returns import Returns
from lb.health.webhook import Receiver
from lb.limited_log import LimitedLog
from lb.processes.control import Control
from lb.processes.store import fleet_of, metrics_of, outbox_of, pool_of
from lb.store.metrics import Metrics
from lb.store.pool import BackendPool

_limited = LimitedLog(__name__)

#: Waits while the store is away: the first, then twice as long each time, up to the longest.
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.25, 2.0

#: At its end it waits so long for the message on its way; the next leader repeats one that is cut.
LAST_MESSAGE_SECONDS = 2.0

_FOLD_SECONDS = 10.0


def run(config: Config, control: Control) -> None:
    """Check the pool's servers until SIGTERM or SIGINT, or until the supervisor is gone."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # odd headers of a server are no news
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stop.set)
    pool = pool_of(config)
    check = CHECKS["http"]()
    checker = Checker(pool, check, config, _name(), spawn=gevent.spawn)
    returns = Returns(pool, check, config, term=lambda: checker.term, spawn=gevent.spawn)
    dead_workers = DeadWorkers(fleet_of(config), BY)
    messages = _spawn_messenger(config, checker, stop)

    def work() -> float:
        dead_workers.reap()
        delay = checker.tick()
        returns.tick()
        return delay

    gevent.spawn(_fold, metrics_of(config), lambda: checker.term is not None, stop.wait)
    turns = Turns(work, checker.forget)
    control.ready()
    with suppress(StoreError):  # then the lead of the dead runs out by itself
        resign_for_the_dead(pool)
    gevent.spawn(control.beat_until_lost, gevent.sleep).link(lambda _: stop.set())
    while not stop.wait(turns.take()):
        pass
    gevent.joinall(messages, timeout=LAST_MESSAGE_SECONDS)
    with suppress(StoreError):  # then the lead ends by itself
        checker.resign()


def _spawn_messenger(config: Config, checker: Checker, stop: Event) -> list[gevent.Greenlet[[], None]]:
    """Start to tell the webhook what happens, if there is one: beside the checks, which wait for nobody."""
    if config.webhook.url is None:
        return []
    receiver = Receiver(config.webhook.url, config.webhook, config.pool)
    messenger = Messenger(
        outbox_of(config), receiver, config.webhook.events, term=lambda: checker.term, wait=stop.wait
    )
    return [gevent.spawn(messenger.run)]


def _fold(metrics: Metrics, leads: Callable[[], bool], wait: Callable[[float], bool]) -> None:
    """Have what ended runs counted added up: a fleet without an API has nobody else who would."""
    counted = Counted(metrics)
    while not wait(_FOLD_SECONDS):
        if leads():
            counted.attempt(counted.fold_ended)
        else:
            counted = Counted(metrics)  # it must have listened all the while


class Turns:
    """Takes turns at work that needs the store; while it is away, later each time, and says so once."""

    def __init__(self, work: Callable[[], float], on_lost: Callable[[], None]) -> None:
        self._work = work
        self._on_lost = on_lost
        self._retry_seconds = 0.0  # above zero while the store is away

    def take(self) -> float:
        """Work once, and return the seconds until the next turn."""
        try:
            delay = self._work()
        except StoreError as error:
            return self._lost(error)
        if self._retry_seconds:
            _limited.info("the store is back, servers are checked again", burst=3)
            self._retry_seconds = 0.0
        return delay

    def _lost(self, error: StoreError) -> float:
        if not self._retry_seconds:
            _limited.warning("the store is away, servers are not checked meanwhile: %s", error, burst=3)
        self._on_lost()
        self._retry_seconds = min(max(FIRST_DELAY_SECONDS, 2 * self._retry_seconds), LONGEST_DELAY_SECONDS)
        return self._retry_seconds


def _name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def resign_for_the_dead(pool: BackendPool) -> None:
    """Give up the lead of a health-checker of this host that was killed: nobody would check until it ends."""
    leader = pool.leader() or ""
    pid = re.fullmatch(rf"{re.escape(socket.gethostname())}-(\d{{1,9}})-[0-9a-f]{{8}}", leader)
    if pid is None:
        return
    try:
        os.kill(int(pid[1]), 0)
    except ProcessLookupError:
        pool.resign(leader)
    except OSError:  # it lives, as another user's
        pass
