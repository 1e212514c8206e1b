"""The line from a child to its supervisor: bytes are signs of life, end of file means that it is gone.

Works on the bare descriptor, so it is the same before and after gevent's patching, and in any event loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from lb import limited_log

READY = b"R"
BEAT = b"."
#: A child writes this often from its event loop …
BEAT_SECONDS = 1.0
#: … and is taken for hung when it has not for so long.
HUNG_SECONDS = 10.0


class Control:
    """The child's end. Without a supervisor (`fd` is None) every act does nothing."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd
        if fd is not None:
            os.set_blocking(fd, False)

    def fileno(self) -> int | None:
        """Return the descriptor to watch: it becomes readable when the supervisor is gone, and only then."""
        return self._fd

    def ready(self) -> None:
        """Tell that this child does its work from now on."""
        self._write(READY)

    def beat(self) -> None:
        """Tell that this child is alive."""
        self._write(BEAT)

    def beat_until_lost(self, sleep: Callable[[float], object]) -> None:
        """Give signs of life until the supervisor is gone, beside the work: `sleep` lets that go on.

        What the log has held back is due then, too.
        """
        while not self.lost():
            self.beat()
            limited_log.flush()
            sleep(BEAT_SECONDS)

    def lost(self) -> bool:
        """Whether there was a supervisor and it is gone."""
        if self._fd is None:
            return False
        try:
            return os.read(self._fd, 1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def _write(self, sign: bytes) -> None:
        if self._fd is None:
            return
        with suppress(BlockingIOError, BrokenPipeError):  # it is stopped for now; or gone, which lost() tells
            os.write(self._fd, sign)
