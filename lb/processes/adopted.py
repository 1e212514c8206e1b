"""A child process that the program before this one has started."""

from __future__ import annotations

import os
from contextlib import suppress


class Adopted:
    """What is used of `subprocess.Popen`, for a process that another one's `Popen` has started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code once it has ended, negative for a signal."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has been seen to end."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)
