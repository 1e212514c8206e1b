"""The supervisor replaced by a new one: it executes the new program in its place.

The process stays the same, so its children stay its children and its sockets stay open; what it knew of
them it leaves in a file without a name, whose descriptor the new program finds in its environment.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import MutableMapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from lb.processes import child, handover, sockets
from lb.processes.child import Child

#: Only in the environment of a supervisor that goes on with what another has left.
VARIABLE = "LB_UPGRADE_FD"

#: Beside the estate: what the last of these programs removes at its end.
_OWN_FILES = "own_files"


@dataclass(frozen=True, slots=True)
class Heir:
    """One child that lives on."""

    role: str
    pid: int
    control_fd: int
    ready: bool
    retired: bool
    kill_at: float | None  # of the clock that `time.monotonic` reads, the same in both programs
    slot: int | None = None

    @classmethod
    def of(cls, child: Child, *, retired: bool) -> Heir:
        """Describe a running child."""
        control = -1 if child.control is None else child.control.fileno()
        return cls(child.role.name, child.pid, control, child.ready, retired, child.kill_at, child.role.slot)

    def become(self, child: Child, now: float) -> None:
        """Make `child` the one that this describes."""
        control = None if self.control_fd < 0 else socket.socket(fileno=self.control_fd)
        child.adopt(self.pid, control, now, ready=self.ready, kill_at=self.kill_at, retired=self.retired)


@dataclass(frozen=True, slots=True)
class Estate:
    """All that one supervisor leaves to the next."""

    config: str  # as JSON, with which the children run
    client_fd: int
    admin_fd: int
    lock_fd: int | None
    heirs: list[Heir]
    scoreboard_fd: int | None = None
    workers: int = 0  # how many there are to be: one that has just died is no heir

    @property
    def fds(self) -> list[int]:
        """The descriptors that must stay open."""
        fds = [self.client_fd, self.admin_fd, *(heir.control_fd for heir in self.heirs)]
        return [fd for fd in (*fds, self.lock_fd, self.scoreboard_fd) if fd is not None and fd >= 0]


def pass_on(estate: Estate, arguments: Sequence[str], signals: Sequence[signal.Signals]) -> None:
    """Go on as the program that is installed now; comes back with OSError only if that cannot be.

    The `signals` that come meanwhile wait until it takes them.
    """
    fd = handover.write(json.dumps({**asdict(estate), _OWN_FILES: sockets.own_files()}))
    held = [fd, *estate.fds]
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        for one in held:
            os.set_inheritable(one, True)
        command = [*child.PROGRAM, *arguments]
        os.execve(sys.executable, command, {**os.environ, VARIABLE: str(fd)})  # noqa: S606 - our own program
    finally:
        for one in held:
            os.set_inheritable(one, False)
        os.close(fd)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def take_over(environ: MutableMapping[str, str]) -> Estate | None:
    """Return what the supervisor before has left; None if there was none."""
    place = environ.pop(VARIABLE, None)
    if place is None:
        return None
    values = json.loads(handover.read(int(place)))
    os.close(int(place))
    heirs = [Heir(**_known(Heir, heir)) for heir in values["heirs"]]
    estate = Estate(**{**_known(Estate, values), "heirs": heirs})
    for path, inode in values.get(_OWN_FILES, {}).items():
        sockets.remove_at_end(path, inode)
    for fd in estate.fds:
        os.set_inheritable(fd, False)
    return estate


def _known(kind: type[Heir | Estate], values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only a later program writes: on the way back to an earlier one that is no hindrance."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
