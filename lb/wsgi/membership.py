"""Makes a process of a WSGI server a member of the fleet, in its own hub or in a thread that has one."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import gevent
from gevent import monkey
from gevent.event import Event
from gevent.hub import Hub

from lb import limited_log
from lb.config import Config
from lb.errors import StoreError
from lb.processes.control import BEAT_SECONDS
from lb.processes.member import Member, Waiting, cooperatively
from lb.processes.store import fill, pool_of
from lb.proxy.servers import KeepOnly
from lb.wsgi.leases import HandedIn, Leases

_log = logging.getLogger(__name__)

#: How long the process, when it ends, waits for the store to be told.
_LEAVE_SECONDS = 5.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Place:
    """The parts of a member that the requests of its process use."""

    leases: Leases
    meters: HandedIn


def join(config: Config, keep_only: KeepOnly) -> Place:
    """Join the fleet until this process ends.

    Where sockets are gevent's, as in gunicorn's gevent workers, the member lives in the hub of the caller.
    Elsewhere requests would block that hub while they wait, so the member gets a thread with its own hub. If
    the store is away, it begins degraded.
    """
    if monkey.is_module_patched("socket"):
        membership = _Membership(config, keep_only, cooperatively)
        membership.begin()
        atexit.register(membership.end)
        return membership.place
    thread = _Thread(config, keep_only)
    thread.start()
    atexit.register(thread.end)
    return thread.place()


class _Membership:
    """A member and its heartbeat, in one hub."""

    def __init__(self, config: Config, keep_only: KeepOnly, waiting: Waiting) -> None:
        self._config = config
        self._waiting = waiting
        self._pid = os.getpid()
        self._unreconciled = bool(config.servers)  # a config without servers has no say in the pool
        self._member = Member(config, keep_only, waiting)
        self._beating: gevent.Greenlet[[], None] | None = None
        self.place = Place(Leases(self._member.line), HandedIn(self._member.meters))

    def begin(self) -> None:
        """Join, and wait for the store no longer than its connections' timeout."""
        self._reconcile()
        self._member.join(may_degrade=True)
        self._beating = gevent.spawn(self._beat)

    def end(self) -> None:
        """Leave, if this is the process that joined: one forked from it inherits its exit handlers."""
        if self._beating is not None and os.getpid() == self._pid:
            self._beating.kill()
            self._member.leave()

    def _beat(self) -> None:
        while os.getpid() == self._pid:
            self._reconcile()
            self._member.beat()
            limited_log.flush()
            gevent.sleep(BEAT_SECONDS)

    def _reconcile(self) -> None:
        """Add the servers of the config to the pool, once, as every worker without a supervisor does."""
        if not self._unreconciled:
            return
        try:
            self._waiting(fill, pool_of(self._config), self._config)
        except StoreError as error:
            _log.debug("the pool does not have the servers of the config yet: %s", error)
        else:
            self._unreconciled = False


class _Thread:
    """A membership in a thread of its own."""

    def __init__(self, config: Config, keep_only: KeepOnly) -> None:
        self._config = config
        self._keep_only = keep_only
        self._pid = os.getpid()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lb member", daemon=True)
        self._hub: Hub | None = None
        self._ending: Event | None = None
        self._place: Place | None = None
        self._failure: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def place(self) -> Place:
        """Wait until it has joined; raises whatever has prevented that."""
        self._begun.wait()
        if self._place is None:
            raise self._failure or RuntimeError("the thread of the lease line has ended")
        return self._place

    def end(self) -> None:
        """Leave, if this is the process that joined."""
        if os.getpid() == self._pid and self._hub is not None and self._ending is not None:
            self._hub.loop.run_callback_threadsafe(self._ending.set)
            self._thread.join(_LEAVE_SECONDS)

    def _run(self) -> None:
        try:
            self._hub, self._ending = gevent.get_hub(), Event()
            membership = _Membership(self._config, self._keep_only, _elsewhere)
            membership.begin()
            self._place = membership.place
        except Exception as error:
            self._failure = error
            raise
        finally:
            self._begun.set()
        self._ending.wait()
        membership.end()


def _elsewhere(call: Callable[_P, _T], /, *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Make a blocking call in another thread, so that this one's hub goes on."""
    result: _T = gevent.get_hub().threadpool.apply(call, arguments, named)
    return result
