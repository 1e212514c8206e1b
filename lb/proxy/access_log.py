"""The access log of one worker: a line for each request that is done, written in batches.

A line is made as soon as its request is done, while all that it speaks of is in the processor's caches.
"""

from __future__ import annotations

import logging
from time import monotonic

import gevent
from gevent import get_hub

from lb.proxy.access_lines import FORMATS
from lb.proxy.line_file import LineFile, try_to_open

log = logging.getLogger(__name__)

#: So many bytes of lines are written together, in 20 µs: 80 ns for each line; with 16 KiB it is 135.
BATCH_BYTES = 65536
#: Fewer wait no longer than this.
FLUSH_SECONDS = 0.5
#: Between two warnings about lost lines.
_WARNING_SECONDS = 60.0
#: For a reader of a pipe to take the last lines.
_FAREWELL_SECONDS = 0.5


class AccessLog:
    """Collects what requests came to. Belongs to one gevent hub."""

    def __init__(self, path: str, line_format: str) -> None:
        """Open the log; ConfigError if that cannot be."""
        try_to_open(path, "accessLog.path")
        self._file = LineFile(path)
        self._path = path
        self.format = FORMATS[line_format]()
        #: Lines that are not written yet; `flush` when there are BATCH_BYTES.
        self.lines = bytearray()
        self._told_lost = 0
        self._may_warn_at = 0.0
        self._closed = False  # what is still noted then is lost
        self._timer = get_hub().loop.timer(FLUSH_SECONDS, repeat=FLUSH_SECONDS)

    def start(self) -> None:
        """Begin to write what waits too long for its batch."""
        self._timer.start(self.flush)

    def flush(self) -> None:
        """Write what was collected."""
        if self._closed:
            self.lines.clear()
            return
        if self.lines:
            self._file.append(bytes(self.lines))
            self.lines.clear()
        else:
            self._file.push()
        if self._file.lost > self._told_lost and monotonic() >= self._may_warn_at:
            self._warn()

    def _warn(self) -> None:
        self._may_warn_at = monotonic() + _WARNING_SECONDS
        lost, self._told_lost = self._file.lost - self._told_lost, self._file.lost
        log.warning("access log: lines lost: %d (%s: %s)", lost, self._path, self._file.fault)

    def reopen(self) -> None:
        """Write on to a file of the same name; what came before goes to the one that was open."""
        self.flush()
        try:
            self._file.reopen()
        except OSError as error:
            log.warning("access log: cannot reopen %s: %s; the old file goes on", self._path, error.strerror)

    def close(self) -> None:
        """Write what is left, and close; a reader that does not keep up gets a moment."""
        self._timer.close()
        self.flush()
        if self._closed:
            return
        self._closed = True
        deadline = monotonic() + _FAREWELL_SECONDS
        while self._file.behind and monotonic() < deadline:
            gevent.sleep(0.01)
            self._file.push()
        self._file.close()
        if self._file.lost > self._told_lost:
            self._warn()
