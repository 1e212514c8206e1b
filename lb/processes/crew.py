"""Who works on one host: the children, and the lock, sockets and configuration that they share."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from lb.config import Config
from lb.processes import lock, sockets
from lb.processes.child import Child, Role
from lb.processes.handover import config_file
from lb.store import embedded

#: A worker that has asked its clients to leave may need this much longer to say goodbye.
_FAREWELL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Crew:
    """The children in the order in which they start, and the sockets that they serve."""

    client: socket.socket
    admin: socket.socket
    foundation: tuple[Child, ...]  # what the others stand on: the embedded store, demo servers
    reconcile: Child  # puts the configured servers into the store, then ends
    workers: tuple[Child, ...]
    helpers: tuple[Child, ...]  # health-checker, admin API

    @property
    def children(self) -> tuple[Child, ...]:
        """All of them."""
        return (*self.foundation, self.reconcile, *self.workers, *self.helpers)

    @property
    def stop_order(self) -> tuple[tuple[Child, ...], ...]:
        """Groups to stop one after the other: requests in flight finish while all they need still works."""
        return ((self.reconcile, *self.workers), self.helpers, self.foundation)


@contextmanager
def muster(config: Config, *, demo: bool) -> Iterator[Crew]:
    """Take the lock, bind the ports, make the children; none is started. LBError if something is taken."""
    with ExitStack() as stack:
        if config.redis is None:  # the lock protects the embedded store; nothing else is in the directory
            embedded.socket_path(config.data_dir)  # said once, and before anything is made
            stack.callback(os.close, lock.take(config.data_dir / "lock", "lb run"))
        client = stack.enter_context(sockets.bind(config.port, sockets.CLIENT_SETTING))
        admin = stack.enter_context(sockets.bind(config.admin.listen, sockets.ADMIN_SETTING))
        fd = stack.enter_context(config_file(config))
        yield _crew(config, client, admin, fd, demo=demo)


def _crew(config: Config, client: socket.socket, admin: socket.socket, config_fd: int, *, demo: bool) -> Crew:
    shared = ("--config-fd", str(config_fd))

    def child(name: str, listener: socket.socket | None = None, **traits: Any) -> Child:
        fds = (config_fd,) if listener is None else (config_fd, listener.fileno())
        options = shared if listener is None else (*shared, "--listen-fd", str(listener.fileno()))
        return Child(Role(name, fds, options, **traits))

    foundation = [child("servers")] if demo else []
    if config.redis is None:
        foundation.append(child("store", beats=False))
    grace = config.graceful_timeout_seconds + _FAREWELL_SECONDS
    return Crew(
        client=client,
        admin=admin,
        foundation=tuple(foundation),
        reconcile=child("reconcile", beats=False, once=True),
        workers=tuple(child("worker", client, grace_seconds=grace) for _ in range(config.worker_count)),
        helpers=(child("health-checker"), child("api", admin)),
    )
