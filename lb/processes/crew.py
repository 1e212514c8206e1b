"""Who works on one host: the children, and the lock, sockets and configuration that they share."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from lb.config import Config, from_json, to_json
from lb.metrics import layout, scoreboard
from lb.metrics.scoreboard import Scoreboard
from lb.processes import activation, handover, lock, log, sockets
from lb.processes.child import Child, Role
from lb.processes.upgrade import Estate, Heir
from lb.store import embedded

#: A worker that has asked its clients to leave may need this much longer to say goodbye.
_FAREWELL_SECONDS = 1.0


class Crew:
    """The children, by what they are for, and the sockets that they serve."""

    def __init__(  # noqa: PLR0913 - two sockets, and what another supervisor left
        self,
        config: Config,
        client: socket.socket,
        admin: socket.socket,
        lock_fd: int | None = None,
        *,
        scoreboard_fd: int | None = None,
        demo: bool = False,
    ) -> None:
        self.client = client
        self.admin = admin
        self._lock_fd = lock_fd
        self.config = config
        log.use(config.log_format)
        self._config_fds = [handover.write(to_json(config))]  # the last one is of `config`
        self._scoreboard_fd = (
            scoreboard.create(socket.gethostname()) if scoreboard_fd is None else scoreboard_fd
        )
        self._scoreboard = Scoreboard(self._scoreboard_fd)
        self.foundation = tuple(
            Child(self._role(name))  # what the others stand on
            for name in (["servers"] if demo else []) + (["store"] if config.redis is None else [])
        )
        self.reconcile = Child(self._role("reconcile"))  # puts the configured servers into the store, ends
        self.workers: list[Child] = []
        self.helpers = tuple(Child(self._role(name)) for name in ("health-checker", "api"))
        self.rehearsal = Child(self._role("rehearse"))  # tries out a new program
        self.retired: list[Child] = []  # workers that others have replaced; they finish and end
        for _ in range(config.worker_count):
            self.hire()

    @property
    def children(self) -> tuple[Child, ...]:
        """All of them, in the order in which they start."""
        errands = (self.reconcile, self.rehearsal)
        return (*self.foundation, *errands, *self.workers, *self.retired, *self.helpers)

    @property
    def _stop_order(self) -> tuple[tuple[Child, ...], ...]:
        """Groups to stop one after the other: requests in flight finish while all they need still works."""
        return ((self.reconcile, self.rehearsal, *self.workers, *self.retired), self.helpers, self.foundation)

    def adapt(self, config: Config) -> None:
        """Have `reconcile`, and who is hired from now on, start with this configuration.

        Who was there before starts again with the one that it had, until the crew is to `settle`.
        """
        self._config_fds.append(handover.write(to_json(config)))
        self.config = config
        self.reconcile.role = self._role("reconcile")

    def settle(self) -> None:
        """Have everyone who starts from now on start with the configuration of now."""
        log.use(self.config.log_format)
        while len(self._config_fds) > 1:
            os.close(self._config_fds.pop(0))
        for child in (*self.foundation, *self.workers, *self.helpers):
            child.role = self._role(child.role.name, child.role.slot)

    def rehearse_with(self, arguments: Sequence[str]) -> Child:
        """Return who tries out a new program; it is to start with these arguments of `lb run`."""
        role = self._role("rehearse")
        self.rehearsal.role = replace(role, options=(*role.options, *arguments))
        return self.rehearsal

    def hire(self) -> Child:
        """Return a new worker; it is to be started."""
        self.workers.append(Child(self._role("worker", self._free_slot())))
        return self.workers[-1]

    def retire(self, worker: Child, now: float) -> None:
        """Have a worker take no new clients, and end when it is done with those it has."""
        if worker in self.workers:
            self.workers.remove(worker)
            worker.retire(now, self.config.retire_timeout_seconds + _FAREWELL_SECONDS)
            if worker.running:
                self.retired.append(worker)

    def miss(self, child: Child) -> None:
        """Take note that the process of a child has ended: another may have its slot of the scoreboard."""
        if child.role.slot is not None:
            self._scoreboard.vacate(child.role.slot)

    def stop_next(self, now: float) -> None:
        """Stop the first group that still runs; the next one's turn comes when it has ended."""
        for group in self._stop_order:
            running = [child for child in group if child.running]
            for child in running:
                child.stop(now)
            if running:
                return

    def hurry(self) -> None:
        """End all at once but the foundation: the store writes its file."""
        for group in self._stop_order[:-1]:
            for child in group:
                child.kill()

    def bequeath(self) -> Estate:
        """Return all that the supervisor who comes next needs to go on with this crew."""
        listed = [(child, False) for child in (*self.foundation, *self.workers, *self.helpers)]
        heirs = [*listed, *((child, True) for child in self.retired)]
        return Estate(
            config=to_json(self.config),
            client_fd=self.client.fileno(),
            admin_fd=self.admin.fileno(),
            lock_fd=self._lock_fd,
            heirs=[Heir.of(child, retired=retired) for child, retired in heirs if child.running],
            scoreboard_fd=self._scoreboard_fd,
            workers=len(self.workers),
        )

    def adopt(self, heirs: list[Heir], workers: int, now: float) -> None:
        """Take over the living children of the supervisor before; there are as many workers as there were."""
        self.workers.clear()
        for heir in heirs:
            if heir.role == "worker":
                child = Child(self._role("worker", heir.slot))
                (self.retired if heir.retired else self.workers).append(child)
            else:
                child = next(child for child in self.children if child.role.name == heir.role)
            heir.become(child, now)
        while len(self.workers) < workers:
            self.hire()

    def close(self) -> None:
        """Give the sockets, the lock and the configuration back."""
        self.client.close()
        self.admin.close()
        for fd in (*self._config_fds, self._scoreboard_fd):
            os.close(fd)
        if self._lock_fd is not None:
            os.close(self._lock_fd)

    def _free_slot(self) -> int | None:
        taken = {child.role.slot for child in (*self.workers, *self.retired)}
        return next((slot for slot in range(layout.SLOTS) if slot not in taken), None)

    def _role(self, name: str, slot: int | None = None) -> Role:
        listener = {"worker": self.client, "api": self.admin}.get(name)
        config_fd = self._config_fds[-1]
        fds, options = [config_fd], ["--config-fd", str(config_fd)]
        if listener is not None:
            fds += [listener.fileno()]
            options += ["--listen-fd", str(listener.fileno())]
            fds += [self._scoreboard_fd]
            options += ["--scoreboard-fd", str(self._scoreboard_fd)]
        if slot is not None:
            self._scoreboard.grant(slot)
            options += ["--slot", str(slot)]
        return Role(name, tuple(fds), tuple(options), slot=slot, **self._traits(name))

    def _traits(self, name: str) -> dict[str, Any]:
        match name:
            case "store":
                return {"beats": False}
            case "reconcile" | "rehearse":
                return {"beats": False, "once": True}
            case "worker":
                return {"grace_seconds": self.config.graceful_timeout_seconds + _FAREWELL_SECONDS}
        return {}


@contextmanager
def muster(config: Config, environ: MutableMapping[str, str], *, demo: bool) -> Iterator[Crew]:
    """Take the lock, bind the ports, make the children; none is started. LBError if something is taken.

    Sockets that systemd has bound, as `environ` tells, are used in place of the configured ones.
    """
    with ExitStack() as undo:
        lock_fd = None
        if config.redis is None:  # the lock protects the embedded store; nothing else is in the directory
            embedded.command(config.data_dir)  # what it lacks is said once, and before anything is made
            lock_fd = lock.take(config.data_dir / "lock", "lb run")
            undo.callback(os.close, lock_fd)
        given = activation.given(environ)
        for sock in given.values():
            undo.callback(sock.close)
        client = given.get("client") or undo.enter_context(sockets.bind(config.port, sockets.CLIENT_SETTING))
        admin = given.get("admin") or undo.enter_context(
            sockets.bind(config.admin.listen, sockets.ADMIN_SETTING)
        )
        crew = Crew(config, client, admin, lock_fd, demo=demo)
        undo.pop_all()
    try:
        yield crew
    finally:
        crew.close()


@contextmanager
def inherit(estate: Estate, now: float, *, demo: bool) -> Iterator[Crew]:
    """Go on with the crew of the supervisor before, and with its configuration until it is to adapt."""
    client, admin = socket.socket(fileno=estate.client_fd), socket.socket(fileno=estate.admin_fd)
    board_fd, heirs = estate.scoreboard_fd, estate.heirs
    if board_fd is not None and not scoreboard.is_known(board_fd):  # those who count on it go on doing so
        os.close(board_fd)
        board_fd, heirs = None, [replace(heir, slot=None) for heir in heirs]
    crew = Crew(from_json(estate.config), client, admin, estate.lock_fd, scoreboard_fd=board_fd, demo=demo)
    crew.adopt(heirs, estate.workers, now)
    try:
        yield crew
    finally:
        crew.close()
