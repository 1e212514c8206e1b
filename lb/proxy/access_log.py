"""The access log of one worker: a line for each request that is done, written in batches.

What a request came to is noted when it is done; lines are made of many notes at once, as in the midst of the
work on requests each costs three times as much.
"""

from __future__ import annotations

import logging
from time import monotonic

import gevent
from gevent import get_hub

from lb.limited_log import LimitedLog
from lb.proxy.access_lines import FORMATS, NEVER, Noted
from lb.proxy.client import Client
from lb.proxy.exchange import NO_SERVER
from lb.proxy.http1 import Request
from lb.proxy.line_file import LineFile, try_to_open

log = logging.getLogger(__name__)
_limited = LimitedLog(__name__)

#: Lines are made of so many notes together: what they speak of is still in the processor's caches.
BATCH_NOTES = 64
#: So many bytes of lines are written together, in 20 µs: 80 ns for each line; with 16 KiB it is 135.
BATCH_BYTES = 65536
#: Fewer wait no longer than this.
FLUSH_SECONDS = 0.5
#: For a reader of a pipe to take the last lines.
_FAREWELL_SECONDS = 0.5


class AccessLog:
    """Collects what requests came to. Belongs to one gevent hub."""

    def __init__(self, path: str, line_format: str) -> None:
        """Open the log; ConfigError if that cannot be."""
        try_to_open(path, "accessLog.path")
        self._file = LineFile(path)
        self._path = path
        self._format = FORMATS[line_format]()
        self._notes: list[Noted] = []
        self._lines = bytearray()  # that are not written yet
        self._told_lost = 0
        self._closed = False  # what is still noted then is lost
        self._timer = get_hub().loop.timer(FLUSH_SECONDS, repeat=FLUSH_SECONDS)

    def start(self) -> None:
        """Begin to write what waits too long for its batch."""
        self._timer.start(self.flush)

    def note(self, client: Client, request: Request, reason: str = "", status: int = 0) -> None:
        """Note that a request is done, and why it failed; `status` is our own response's, if it got one."""
        now, arrived, sent = monotonic(), client.arrived, client.stream.sent
        lease, answer = request.lease, request.answer
        server, queued, head = NO_SERVER, 0.0, NEVER
        if lease is not None:
            server, queued = lease.server, lease.picked - arrived
            if request.trace is not None:
                queued -= request.trace.asking_seconds
        if answer is not None:
            status, head = answer.head.status, answer.arrived - arrived
        own_id = request.id_line != b"" and not client.trusted
        self._notes.append(
            (
                request,
                client.address,
                own_id,
                server,
                status,
                sent - client.sent_before,
                now,
                now - arrived,
                head,
                queued,
                reason,
            )
        )
        client.sent_before = sent
        client.request = None
        if len(self._notes) >= BATCH_NOTES:
            self._make_lines()
            if len(self._lines) >= BATCH_BYTES:
                self.flush()

    def _make_lines(self) -> None:
        notes, self._notes = self._notes, []
        self._lines += self._format.lines(notes)

    def flush(self) -> None:
        """Write what was noted."""
        self._make_lines()
        if self._closed:
            self._lines.clear()
            return
        if self._lines:
            self._file.append(bytes(self._lines))
            self._lines.clear()
        else:
            self._file.push()
        self._warn()

    def _warn(self) -> None:
        if self._file.lost > self._told_lost:
            self._told_lost = self._file.lost
            _limited.warning(
                "access log: lines lost: %d (%s: %s)", self._told_lost, self._path, self._file.fault
            )

    def reopen(self) -> None:
        """Write on to a file of the same name; what came before goes to the one that was open."""
        self.flush()
        try:
            self._file.reopen()
        except OSError as error:
            _limited.warning(
                "access log: cannot reopen %s: %s; the old file goes on", self._path, error.strerror
            )

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
        self._warn()
