"""One child of the supervisor: how it is executed, and when it must be started, stopped or replaced."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from lb.limited_log import LimitedLog
from lb.processes.adopted import Adopted
from lb.processes.control import HUNG_SECONDS, READY

_limited = LimitedLog(__name__)


def _program() -> tuple[str, ...]:
    with suppress(OSError):  # the working directory was deleted, or may not be looked at
        if Path.cwd() == Path(__file__).parents[2]:
            return (sys.executable, "-m", "lb")
    return (sys.executable, "-P", "-m", "lb")


#: How every child is executed: without the working directory on its path, unless `lb` itself is there.
PROGRAM = _program()

#: A child that gives signs of life must give the first within this time; the next try, on a machine that may
#: be too busy for that, has twice as long, …
START_SECONDS = 30.0
#: … up to this.
LONGEST_START_SECONDS = 300.0
#: The first restart comes after this time, each further one after twice as long as the one before, …
FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 10.0
#: … until a child has lived for so long.
HEALTHY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Role:
    """What a child is for."""

    name: str  # the command of `lb` that it runs
    fds: tuple[int, ...] = ()  # descriptors it inherits
    options: tuple[str, ...] = ()
    beats: bool = True  # whether it gives signs of life, so that a hung one can be told
    once: bool = False  # whether it ends by itself and is not started again
    grace_seconds: float = 5.0  # from SIGTERM to SIGKILL
    slot: int | None = None  # of the scoreboard, if it counts on that


class Child:
    """The process of one role, started again when it ends, later each time. Times are of `time.monotonic`."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.ready = False
        self.failed_starts = 0  # in a row, ended before ready
        self.exit_code: int | None = None  # of the last process, negative for a signal
        self.control: socket.socket | None = None  # the supervisor's end, while the process lives
        self.kill_at: float | None = None  # once it has been asked to end
        self._process: subprocess.Popen[bytes] | Adopted | None = None
        self._started = 0.0
        self._beat = 0.0
        self._start_seconds = START_SECONDS
        self._delay = FIRST_DELAY_SECONDS
        self._restart_at: float | None = None
        self._grace = 0.0  # how long after it was asked that is
        self._stopped = self._retired = self._killed = False
        self._untold: set[signal.Signals] = set()
        self._again = False  # start the next at once: this one ends because it was asked to

    @property
    def running(self) -> bool:
        """Whether there is a process that has not been seen to end."""
        return self._process is not None

    @property
    def adopted(self) -> bool:
        """Whether the process is one that the program before this one has started."""
        return isinstance(self._process, Adopted)

    @property
    def idle(self) -> bool:
        """Whether there is no process and none is planned."""
        return self._process is None and self._restart_at is None

    @property
    def pid(self) -> int:
        """Process id; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    def __repr__(self) -> str:
        return f"{self.role.name} {self.pid}"

    def start(self, now: float) -> None:
        """Execute the process; if the system cannot, the next try is due after the usual delay."""
        self.exit_code = None
        self._untold.clear()
        self._started = self._beat = now
        self._restart_at = self.kill_at = None
        self._stopped = self._retired = self._killed = self._again = False
        try:
            self._execute()
        except OSError as error:
            _limited.error("cannot start %s: %s", self.role.name, error, of=id(self))
            self._plan_restart(now)

    def _execute(self) -> None:
        with ExitStack() as undo:
            ours, theirs = map(undo.enter_context, socket.socketpair())
            ours.settimeout(0)
            command = [self.role.name, *self.role.options, "--control-fd", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*PROGRAM, *command],
                stdin=subprocess.DEVNULL,
                pass_fds=(*self.role.fds, theirs.fileno()),
                process_group=0,  # of its own, so that Ctrl-C reaches the supervisor alone
            )
            undo.pop_all()
            theirs.close()
            self.control = ours

    def adopt(  # noqa: PLR0913 - what is known of a process
        self,
        pid: int,
        control: socket.socket | None,
        now: float,
        *,
        ready: bool,
        kill_at: float | None = None,
        retired: bool = False,
    ) -> None:
        """Take over a living process: with `kill_at` it is to end, and another follows unless `retired`."""
        self._process = Adopted(pid)
        self.control, self.ready, self.kill_at = control, ready, kill_at
        if control is not None:
            control.settimeout(0)
        self._started = self._beat = now
        self._grace = 0.0 if kill_at is None else kill_at - now
        self._retired = retired
        self._stopped = self._again = kill_at is not None and not retired

    def hear(self, now: float) -> bool:
        """Take the signs of life that have come in; False once the child has closed its end."""
        try:
            signs = self.control.recv(4096) if self.control else b""
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if signs:
            self._beat = now
        if READY in signs:
            self.ready, self.failed_starts, self._start_seconds = True, 0, START_SECONDS
            while self._untold:
                self.tell(self._untold.pop())
        return bool(signs)

    def stop(self, now: float) -> None:
        """Ask the process to end; it is killed if it has not within its grace."""
        if self._process is not None and not self._stopped:
            self._stopped = True
            self._process.send_signal(signal.SIGTERM)
            self._grace = self.role.grace_seconds
            self.kill_at = min(self.kill_at or now + self._grace, now + self._grace)

    def restart(self, now: float) -> None:
        """Have the process replaced by another, which starts once this one has ended."""
        self.stop(now)
        self._again = True

    def retire(self, now: float, seconds: float) -> None:
        """Let the process end once it has no clients any more; it is killed if it has after `seconds`."""
        if self._process is not None:
            self._retired = True
            self._process.send_signal(signal.SIGUSR2 if self.ready else signal.SIGTERM)
            self._grace, self.kill_at = seconds, now + seconds

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process; one that has just started gets it once it is ready to take it."""
        if self._process is not None and self.ready:
            self._process.send_signal(number)
        elif self._process is not None:
            self._untold.add(number)

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._killed = True

    def reap(self, now: float) -> bool:
        """Whether the process has ended just now; unless it was to, its next start is due later."""
        if self._process is None or self._process.poll() is None:
            return False
        self.exit_code = self._process.returncode
        self._process = None
        if not (self.role.once or self._retired):
            self._plan_restart(now)
        self.ready = False
        return True

    def _plan_restart(self, now: float) -> None:
        if not self.ready:
            self.failed_starts += 1
        if now - self._started >= HEALTHY_SECONDS:
            self._delay = FIRST_DELAY_SECONDS
        if self._again:
            self._restart_at = now
            return
        self._restart_at = now + self._delay
        self._delay = min(2 * self._delay, LONGEST_DELAY_SECONDS)

    @property
    def replaced(self) -> bool:
        """Whether the last process ended because it was asked to make room for another."""
        return self._again

    def due(self, now: float) -> bool:
        """Whether the process is to be started again now."""
        return self._restart_at is not None and now >= self._restart_at

    def restart_delay(self, now: float) -> float:
        """Seconds until the next start."""
        return 0.0 if self._restart_at is None else max(0.0, self._restart_at - now)

    def deadline(self) -> float | None:
        """When the supervisor must look at this child again, if nothing is heard of it; None for never."""
        if not self.running:
            return self._restart_at
        if self._killed:
            return None
        if self._retired and not self._stopped:
            return min(filter(None, (self.kill_at, self._silent_until())), default=None)
        return self.kill_at or self._silent_until()

    def enforce(self, now: float) -> None:
        """Kill the process if its deadline has passed: it is hung or has outlived its grace."""
        deadline = self.deadline()
        if not self.running or deadline is None or now < deadline:
            return
        if self.kill_at and now >= self.kill_at:
            _limited.warning("%s did not stop within %.0f s, killing it", self, self._grace, of=id(self))
        else:
            _limited.warning(
                "%s has given no sign of life for %.0f s, replacing it", self, now - self._beat, of=id(self)
            )
            if not self.ready:
                self._start_seconds = min(2 * self._start_seconds, LONGEST_START_SECONDS)
        self.kill()

    def excuse(self, now: float) -> None:
        """Count the time until now as heard of: the supervisor itself stood still and could not hear."""
        self._beat = now

    def _silent_until(self) -> float | None:
        if not self.role.beats:
            return None
        return self._beat + (HUNG_SECONDS if self.ready else self._start_seconds)
