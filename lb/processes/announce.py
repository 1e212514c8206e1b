"""What people read on standard error when the balancer is ready, or cannot be, and why a process ended."""

from __future__ import annotations

import shlex
import shutil
import signal
from contextlib import suppress

from lb.config import Config
from lb.processes.child import Child
from lb.processes.crew import Crew
from lb.processes.log import say
from lb.processes.sockets import url_of
from lb.store.embedded import log_path, socket_path

_LITTLE_BYTES = 64 * 1024  # too little for a store to begin with


def facts(crew: Crew) -> str:
    """Say in one line what runs."""
    config = crew.config
    workers, servers = _count(len(crew.workers), "worker"), _count(len(config.servers), "server")
    return f"{workers}, {config.strategy}, {servers}, admin on {url_of(crew.admin)}"


def announce(crew: Crew) -> None:
    """Say that it is ready, where, and what an operator can do next."""
    config = crew.config
    say(f"lb: listening on {url_of(crew.client)} — {facts(crew)}")
    if config.redis is None:
        path = shlex.quote(str(socket_path(config.data_dir)))
        say(f"lb: the store can be read with: redis-cli -s {path}")
    if not config.servers:
        say("lb: the config names no servers: `lb-admin add URL` adds one to the pool")


def where_it_says_why(child: Child, config: Config) -> str:
    """Say where to read why a child ended: the embedded store has a log of its own, if there is room."""
    if child.role.name != "store":
        return "see above"
    with suppress(OSError):
        if shutil.disk_usage(config.data_dir).free < _LITTLE_BYTES:
            return f"the disk of {config.data_dir} is full"
    return f"see above, or {log_path(config.data_dir)}"


def how_it_ended(exit_code: int) -> str:
    """Say in words how a process ended.

    >>> how_it_ended(-9), how_it_ended(1)
    ('killed by SIGKILL', 'exit status 1')
    """
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
