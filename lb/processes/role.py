"""How a process begins its role, executed by the supervisor, or by a user, systemd or a Procfile."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

from lb.config import Config, ListenAddress, environment_warnings, from_json, setting_warnings
from lb.config.store_url import parse_store_url
from lb.metrics.scoreboard import Scoreboard
from lb.processes import handover, log, sockets
from lb.processes.control import Control
from lb.processes.signals import CHANGES
from lb.proxy import descriptors
from lb.store import embedded

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True, slots=True)
class Inherited:
    """The descriptors that the supervisor passes on; all None in a process that runs without one."""

    control_fd: int | None = None
    config_fd: int | None = None
    listen_fd: int | None = None
    scoreboard_fd: int | None = None
    slot: int | None = None  # of the scoreboard

    @property
    def supervised(self) -> bool:
        """Whether there is a supervisor, which then has waited for the store and reconciled the pool."""
        return self.control_fd is not None

    def control(self) -> Control:
        """Return this child's line to its supervisor."""
        return Control(self.control_fd)

    def scoreboard(self) -> Scoreboard | None:
        """Return what the workers of this host count on."""
        return None if self.scoreboard_fd is None else Scoreboard(self.scoreboard_fd)

    def listener(self, address: ListenAddress, setting: str) -> socket.socket:
        """Return the inherited socket, or listen on `address`; several single workers can share it."""
        if self.listen_fd is not None:
            return socket.socket(fileno=self.listen_fd)
        sock = sockets.bind(address, setting, shared=True)
        sockets.listen(sock, setting)
        return sock


def begin(name: str, inherited: Inherited, load: Callable[[], Config]) -> Config:
    """Start as the role `name` and return the configuration: the supervisor's, or what `load` finds."""
    if inherited.supervised:
        _end_with_supervisor(inherited.control())
        for number in CHANGES:  # are the supervisor's to take, also if somebody sends them to all
            signal.signal(number, signal.SIG_IGN)
    elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C before the role serves: no traceback for that
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a worker, which may have a log to reopen, takes it later
    log.configure(f"{name} {os.getpid()}")
    config = load() if inherited.config_fd is None else from_json(handover.take(inherited.config_fd))
    log.use(config.log_format)
    descriptors.raise_limit(config.limits.clients)
    if inherited.config_fd is None and not inherited.supervised:
        for warning in (*environment_warnings(os.environ), *setting_warnings(config)):
            _log.warning("%s", warning)
    return config


def introduce(inherited: Inherited, work: str, config: Config) -> None:
    """Say what a role that runs without a supervisor does, and with which store."""
    if not inherited.supervised:
        place = parse_store_url(config.redis) if config.redis else embedded.socket_url(config.data_dir)
        _log.info("%s, the store is %s", work, place)


def _end_with_supervisor(control: Control) -> None:
    """Have the kernel send SIGTERM when the supervisor ends, however it ends; it outlasts `exec`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if control.lost():  # it ended before that was set
        raise SystemExit(0)
