"""The supervisor of one host: starts every process, replaces what dies or hangs, and stops them in order.

It loads neither gevent nor redis: it must outlive whatever goes wrong in those that do.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

from lb.config import Config, pin_file, setting_warnings
from lb.errors import LBError
from lb.limited_log import LimitedLog
from lb.processes import log, renewal, sockets, upgrade
from lb.processes.announce import announce, facts, how_it_ended, where_it_says_why
from lb.processes.child import Child
from lb.processes.crew import Crew, inherit, muster
from lb.processes.lines import Lines
from lb.processes.notify import Notifier
from lb.processes.renewal import Renewals
from lb.processes.signals import ALL, STOPS, Incoming, incoming
from lb.processes.store_watch import watch_of
from lb.proxy import descriptors
from lb.proxy.headers import header_settings
from lb.proxy.line_file import try_to_open
from lb.proxy.preflight import preflight

_log = logging.getLogger(__name__)
_limited = LimitedLog(__name__)

#: Give up when each worker has failed so often in a row and none has ever become ready.
FAILED_STARTS = 5
#: A loop that turns so much later than it wanted to had stood still itself, and perhaps the children too.
_STOOD_STILL_SECONDS = 3.0
#: Each reload's warnings are logged, but not those of all tries of an upgrade.
_BURST = 5


def run(load: Callable[[], Config], arguments: Sequence[str] = (), *, demo: bool = False) -> int:
    """Run all that one host needs until a signal ends it, and return the exit status.

    With `demo`, also the servers that the config names. The configuration is loaded again when a signal asks
    for that, and `arguments` are those of the command, for a new program to start with. LBError if a port or
    the data directory is taken.
    """
    load = partial(usable, load)
    pin_file(os.environ)
    estate = upgrade.take_over(os.environ)
    if estate is None:
        with muster(load(), os.environ, demo=demo) as crew:
            return Supervisor(crew, load, arguments).run()
    with inherit(estate, time.monotonic(), demo=demo) as crew:
        return Supervisor(crew, load, arguments, taken_over=True).run()


def usable(load: Callable[[], Config]) -> Config:
    """Load the configuration, and try what only this machine can tell; ConfigError."""
    config = load()
    for warning in setting_warnings(config):
        _limited.warning("%s", warning, of=warning, burst=_BURST)
    preflight(header_settings(config))
    if config.access_log.path is not None:
        try_to_open(config.access_log.path, "accessLog.path")
    if too_few := descriptors.shortage(config.limits.clients):
        _limited.warning("%s", too_few, of=too_few, burst=_BURST)
    return config


class Supervisor:
    """One loop over what happens: signals, children that end, signs of life, deadlines."""

    def __init__(
        self,
        crew: Crew,
        load: Callable[[], Config],
        arguments: Sequence[str] = (),
        *,
        taken_over: bool = False,
    ) -> None:
        self._crew = crew
        self._arguments = arguments
        self._notifier = Notifier(os.environ)
        self._lines = Lines()
        self._watch = watch_of(crew)
        self._renewals = Renewals(
            lambda: renewal.reload(crew, load, self._start),
            lambda: renewal.rehearse(crew, arguments[1:], self._start, self._pass_on),
        )
        self._stopping = False
        self._status = 0
        self._traffic = taken_over  # whether workers have been started
        self._announced = taken_over

    def run(self) -> int:
        """Start everything, keep it running until it is to stop, stop it; return the exit status."""
        with self._lines, incoming(ALL) as signals:
            self._lines.add(signals, partial(self._take_signals, signals))
            if self._traffic:
                self._go_on_with_others()
            else:
                self._start(*self._crew.foundation, self._crew.reconcile)
            while not self._stopping or any(child.running for child in self._crew.children):
                self._turn()
        return self._status

    def _go_on_with_others(self) -> None:
        """Take over what runs, start what does not, and renew what the program before this one started."""
        for child in self._crew.children:
            self._lines.listen_to(child)
        self._reap()  # who ended meanwhile
        crew = self._crew
        self._start(*(c for c in (*crew.foundation, *crew.workers, *crew.helpers) if c.idle))
        self._notifier.reloading()
        self._renewals.reload()

    def _turn(self) -> None:
        """Wait for the next thing to happen, and act on it."""
        wake_at = self._next_deadline()
        timeout = None if wake_at is None else max(0.0, wake_at - time.monotonic())
        self._lines.wait(timeout)
        now = time.monotonic()
        self._notifier.beat(now)
        if wake_at is not None and now > wake_at + _STOOD_STILL_SECONDS:
            for child in self._crew.children:
                child.excuse(now)
        for child in self._crew.children:
            child.enforce(now)
        if not self._stopping:
            self._go_on(now)
        if self._stopping:  # perhaps only since just now
            self._crew.stop_next(now)

    def _next_deadline(self) -> float | None:
        watched = (child for child in self._crew.children if child.running or not self._stopping)
        look_at = self._watch.deadline() if self._watch and not self._stopping else None
        deadlines = (*(child.deadline() for child in watched), self._notifier.deadline(), look_at)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _go_on(self, now: float) -> None:
        """Start what is due, and take the next step of the start."""
        if self._watch is not None:
            self._watch.look(now)
        self._start(*(child for child in self._crew.children if child.due(now)))
        if not self._traffic and self._founded():
            self._start_traffic()
        if not self._announced and any(worker.ready for worker in self._crew.workers):
            self._announced = True
            self._start(*self._crew.helpers)  # not before: clients come first
            announce(self._crew)
            self._notifier.ready(facts(self._crew))
        if self._renewals.go_on():
            self._notifier.ready(facts(self._crew))

    def _founded(self) -> bool:
        """Whether the store holds the pool and, in a demo, the servers answer."""
        waited_for = (child for child in self._crew.foundation if child.role.beats)
        return self._crew.reconcile.exit_code == 0 and all(child.ready for child in waited_for)

    def _start_traffic(self) -> None:
        """Open the ports, then start those who serve clients."""
        self._traffic = True
        try:
            sockets.listen(self._crew.client, sockets.CLIENT_SETTING)
            sockets.listen(self._crew.admin, sockets.ADMIN_SETTING)
        except LBError as error:
            self._give_up(str(error))
        else:
            self._start(*self._crew.workers)

    def _start(self, *children: Child) -> None:
        for child in children:
            child.start(time.monotonic())
            self._lines.listen_to(child)

    def _take_signals(self, signals: Incoming) -> None:
        for number in signals.take():
            if number == signal.SIGCHLD:
                self._reap()
            elif number in STOPS:
                self._stop(quick=number == signal.SIGQUIT or self._stopping)
            elif self._announced and not self._stopping:
                self._change(number)
            else:
                _limited.warning("%s is ignored while the balancer starts or stops", number.name, of=number)

    def _change(self, number: signal.Signals) -> None:
        crew = self._crew
        match number:
            case signal.SIGHUP:
                self._notifier.reloading()
                self._renewals.reload()
            case signal.SIGUSR2:
                self._notifier.reloading()
                self._renewals.upgrade()
            case signal.SIGTTIN:
                self._start(crew.hire())
            case signal.SIGTTOU if len(crew.workers) > 1:
                crew.retire(crew.workers[-1], time.monotonic())
            case signal.SIGUSR1:
                for worker in (*crew.workers, *crew.retired):
                    worker.tell(number)
        if number in (signal.SIGTTIN, signal.SIGTTOU):
            _log.info("%s, workers now: %d", number.name, len(crew.workers))

    def _pass_on(self) -> None:
        """Become the new program; if that cannot be, go on as this one."""
        _log.info("upgrade: the new program takes over")
        log.finish()
        try:
            upgrade.pass_on(self._crew.bequeath(), self._arguments, ALL)
        except OSError as error:
            _log.error("upgrade: %s; this program goes on", error)

    def _reap(self) -> None:
        now = time.monotonic()
        for child in self._crew.children:
            name = repr(child)
            if child.reap(now):
                self._crew.miss(child)
                self._lines.hang_up(child)
                if not self._stopping:
                    self._miss(child, name, now)

    def _miss(self, child: Child, name: str, now: float) -> None:
        """Decide what the end of a child means; its restart is already due unless this is the end of all."""
        crew, how = self._crew, how_it_ended(child.exit_code or 0)
        if child in crew.retired:
            crew.retired.remove(child)
            _log.info("%s has left (%s)", name, how)
        elif child.role.once:
            if child.exit_code != 0 and not self._traffic:
                killed = child.exit_code is not None and child.exit_code < 0  # else it has said why
                self._give_up(f"{name} did not get done ({how})" if killed else "")
        elif child in crew.foundation and not self._traffic:
            self._give_up(
                f"{child.role.name} ended at its start ({how}), {where_it_says_why(child, crew.config)}"
            )
        elif not self._announced and all(worker.failed_starts >= FAILED_STARTS for worker in crew.workers):
            self._give_up(f"no worker could start in {FAILED_STARTS} tries ({how}), see above")
        elif not child.replaced:
            _limited.warning(
                "%s ended (%s), starting another in %.1f s",
                name,
                how,
                child.restart_delay(now),
                of=(id(child), how),
                burst=3,
            )

    def _give_up(self, reason: str = "") -> None:
        if reason:
            log.say(f"lb: error: {reason}", logging.ERROR)
        self._status = 1
        self._stop(quick=False)

    def _stop(self, *, quick: bool) -> None:
        """Begin to stop: gracefully, or with nothing left to wait for but the store writing its file."""
        if not self._stopping:
            _log.info("stopping" if self._status == 0 else "giving up")
            self._notifier.stopping()
        self._stopping = True
        self._crew.client.close()
        if quick:
            self._crew.hurry()
