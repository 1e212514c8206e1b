"""The supervisor of one host: starts every process, replaces what dies or hangs, and stops them in order.

It loads neither gevent nor redis: it must outlive whatever goes wrong in those that do.
"""

from __future__ import annotations

import logging
import selectors
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from lb.config import Config
from lb.errors import LBError
from lb.processes import sockets
from lb.processes.child import Child, how_it_ended
from lb.processes.crew import Crew, muster
from lb.store.embedded import log_path, socket_path

_log = logging.getLogger(__name__)

#: Give up when each worker has failed so often in a row and none has ever become ready.
FAILED_STARTS = 5
#: A loop that turns so much later than it wanted to had stood still itself, and perhaps the children too.
_STOOD_STILL_SECONDS = 3.0


def run(config: Config, *, demo: bool = False) -> int:
    """Run all that one host needs until a signal ends it, and return the exit status.

    With `demo`, also the servers that the config names. LBError if a port or the data directory is taken.
    """
    with muster(config, demo=demo) as crew:
        return Supervisor(config, crew).run()


class Supervisor:
    """One loop over what happens: signals, children that end, signs of life, deadlines."""

    def __init__(self, config: Config, crew: Crew) -> None:
        self._config = config
        self._crew = crew
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._status = 0
        self._traffic = False  # whether workers and helpers have been started
        self._announced = False

    def run(self) -> int:
        """Start everything, keep it running until it is to stop, stop it; return the exit status."""
        with self._selector, _signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ, partial(self._take_signals, signals))
            self._start(*self._crew.foundation, self._crew.reconcile)
            while not self._stopping or any(child.running for child in self._crew.children):
                self._turn()
        return self._status

    def _turn(self) -> None:
        """Wait for the next thing to happen, and act on it."""
        wake_at = self._next_deadline()
        timeout = None if wake_at is None else max(0.0, wake_at - time.monotonic())
        for key, _ in self._selector.select(timeout):
            key.data()
        now = time.monotonic()
        if wake_at is not None and now > wake_at + _STOOD_STILL_SECONDS:
            for child in self._crew.children:
                child.excuse(now)
        for child in self._crew.children:
            child.enforce(now)
        if not self._stopping:
            self._go_on(now)
        if self._stopping:  # perhaps only since just now
            self._stop_next(now)

    def _next_deadline(self) -> float | None:
        watched = (child for child in self._crew.children if child.running or not self._stopping)
        deadlines = (child.deadline() for child in watched)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _go_on(self, now: float) -> None:
        """Start what is due, and take the next step of the start."""
        self._start(*(child for child in self._crew.children if child.due(now)))
        if not self._traffic and self._founded():
            self._start_traffic()
        if not self._announced and any(worker.ready for worker in self._crew.workers):
            self._announced = True
            self._announce()

    def _founded(self) -> bool:
        """Whether the store holds the pool and, in a demo, the servers answer."""
        waited_for = (child for child in self._crew.foundation if child.role.beats)
        return self._crew.reconcile.exit_code == 0 and all(child.ready for child in waited_for)

    def _start_traffic(self) -> None:
        """Open the ports, then start those who serve them."""
        self._traffic = True
        try:
            sockets.listen(self._crew.client, sockets.CLIENT_SETTING)
            sockets.listen(self._crew.admin, sockets.ADMIN_SETTING)
        except LBError as error:
            self._give_up(str(error))
        else:
            self._start(*self._crew.workers, *self._crew.helpers)

    def _start(self, *children: Child) -> None:
        for child in children:
            child.start(time.monotonic())
            if child.role.beats and child.control is not None:
                self._selector.register(child.control, selectors.EVENT_READ, partial(self._hear, child))

    def _hear(self, child: Child) -> None:
        if not child.hear(time.monotonic()):
            self._hang_up(child)

    def _hang_up(self, child: Child) -> None:
        if child.control is None:
            return
        if child.role.beats:
            self._selector.unregister(child.control)
        child.control.close()
        child.control = None

    def _take_signals(self, signals: socket.socket) -> None:
        for number in signals.recv(4096):
            if number == signal.SIGCHLD:
                self._reap()
            else:
                self._stop(quick=number == signal.SIGQUIT or self._stopping)

    def _reap(self) -> None:
        now = time.monotonic()
        for child in self._crew.children:
            name = repr(child)
            if child.reap(now):
                self._hang_up(child)
                if not self._stopping:
                    self._miss(child, name, now)

    def _miss(self, child: Child, name: str, now: float) -> None:
        """Decide what the end of a child means; its restart is already due unless this is the end of all."""
        workers, how = self._crew.workers, how_it_ended(child.exit_code or 0)
        if child.role.once:
            if child.exit_code != 0:
                self._give_up()  # it has said why
        elif child in self._crew.foundation and not self._traffic:
            self._give_up(f"{child.role.name} ended at its start ({how}), {self._where_it_says_why(child)}")
        elif not self._announced and all(worker.failed_starts >= FAILED_STARTS for worker in workers):
            self._give_up(f"no worker could start in {FAILED_STARTS} tries ({how}), see above")
        else:
            _log.warning("%s ended (%s), starting another in %.1f s", name, how, child.restart_delay(now))

    def _where_it_says_why(self, child: Child) -> str:
        return (
            f"see above, or {log_path(self._config.data_dir)}" if child.role.name == "store" else "see above"
        )

    def _give_up(self, reason: str = "") -> None:
        if reason:
            _say(f"lb: error: {reason}")
        self._status = 1
        self._stop(quick=False)

    def _stop(self, *, quick: bool) -> None:
        """Begin to stop: gracefully, or with nothing left to wait for but the store writing its file."""
        if not self._stopping:
            _log.info("stopping" if self._status == 0 else "giving up")
        self._stopping = True
        self._crew.client.close()
        if quick:
            for group in self._crew.stop_order[:-1]:
                for child in group:
                    child.kill()

    def _stop_next(self, now: float) -> None:
        """Stop the first group that still runs; the next one's turn comes when it has ended."""
        for group in self._crew.stop_order:
            running = [child for child in group if child.running]
            for child in running:
                child.stop(now)
            if running:
                return

    def _announce(self) -> None:
        config, crew = self._config, self._crew
        workers, servers = _count(len(crew.workers), "worker"), _count(len(config.servers), "server")
        facts = f"{workers}, {config.strategy}, {servers}, admin on {_url(crew.admin)}"
        _say(f"lb: listening on {_url(crew.client)} — {facts}")
        if config.redis is None:
            path = shlex.quote(str(socket_path(config.data_dir)))
            _say(f"lb: the store can be read with: redis-cli -s {path}")
        if not config.servers:
            _say("lb: the config names no servers: `lb-admin add URL` adds one to the pool")


def _url(sock: socket.socket) -> str:
    address = sockets.name_of(sock)
    if address.path:
        return str(address)
    host, port = address.host, address.port
    if host == "::":
        host = "0.0.0.0"  # noqa: S104 - dual-stack; this form can be pasted anywhere
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _say(line: str) -> None:
    with suppress(OSError):  # that nobody reads it any more must not end the traffic
        print(line, file=sys.stderr, flush=True)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Turn the signals that we act on into bytes on the socket, so that handlers do nothing at all."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    theirs.settimeout(0)
    acted_on = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    with ours, theirs:
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, lambda *_: None) for number in acted_on}
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
