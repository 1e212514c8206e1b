"""How every process speaks on standard error: lines for people, or an object per line for programs."""

from __future__ import annotations

import atexit
import io
import json
import logging
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from lb import limited_log
from lb.limited_log import LimitedLog
from lb.proxy.line_file import STANDARD, STDERR, LineFile
from lb.store.values import printable_lines

#: What one configuration calls each format.
TEXT, JSON = "text", "json"

#: What a reader did not take is offered again after this time; at the end of the process for so long.
AGAIN_SECONDS, FAREWELL_SECONDS = 0.1, 0.5

#: Has something called after so many seconds, and goes on at once.
Later: TypeAlias = Callable[[float, Callable[[], None]], object]

_limited = LimitedLog(__name__)

_speaker = "lb"
_format = TEXT
_unwaiting: _Unwaiting | None = None
_later: Later | None = None


def configure(who: str, log_format: str = TEXT) -> None:
    """Log what `lb` says from level INFO, and what libraries say from WARNING, as `who`."""
    global _speaker, _unwaiting  # noqa: PLW0603 (logging is the process's too)
    _speaker = who
    _unwaiting = _unwaiting_stderr()
    handler = logging.StreamHandler(_unwaiting)
    handler.setFormatter(_Lines(f"%(asctime)s lb[{who}] %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("lb").setLevel(logging.INFO)
    use(log_format)
    atexit.register(finish)


def attach(hub: Any, later: Later) -> None:
    """Use an event loop: to offer again what a reader did not take, and log what greenlets fail with.

    gevent would print each failure. A process without a loop calls `push` at times.
    """
    global _later  # noqa: PLW0603
    _later = later
    hub.print_exception = _report


def _report(context: object, _kind: object, error: BaseException, _trace: object) -> None:
    _limited.exception("failed: %s", context, error=error)


def push() -> bool:
    """Offer a reader that stalled what it did not take; whether there still is some."""
    return _unwaiting is not None and _unwaiting.push()


def finish() -> None:
    """Give a reader that stalled a moment for what it did not take: the process ends, or becomes another."""
    limited_log.flush(at_end=True)
    deadline = time.monotonic() + FAREWELL_SECONDS
    while push() and time.monotonic() < deadline:
        time.sleep(0.01)


def use(log_format: str) -> None:
    """Go on in this format, as the configuration says once it is read."""
    global _format  # noqa: PLW0603
    _format = log_format


def say(line: str, level: int = logging.INFO) -> None:
    """Write a line that is for people as it is; that nobody reads it any more must not end the traffic."""
    if _format == JSON:
        line = _as_json(logging.LogRecord("lb", level, "", 0, line.removeprefix("lb: "), None, None))
    out = _unwaiting or sys.stderr
    with suppress(OSError):
        out.write(f"{line}\n")
        out.flush()


class _Lines(logging.Formatter):
    """Records in the format that is in use; what others have said in them drives no terminal."""

    def format(self, record: logging.LogRecord) -> str:
        if _format == JSON:
            return _as_json(record)
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Return the line, before any exception."""
        return printable_lines(super().formatMessage(record))


def _as_json(record: logging.LogRecord) -> str:
    """Write a record as one object, in ASCII; `exception` only where there is one."""
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    said = {
        "time": f"{second}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "process": _speaker,
        "message": record.getMessage(),
    }
    if record.exc_info:
        said["exception"] = logging.Formatter().formatException(record.exc_info)
    return json.dumps(said)


class _Unwaiting(io.TextIOBase):
    """Standard error whose reader may stall: no process stands still for its words. Takes whole lines."""

    def __init__(self, file: LineFile) -> None:
        self._file = file
        self._told_lost = 0
        self._planned = False  # a callback that pushes

    def write(self, text: str) -> int:
        self._file.append(text.encode())
        self._plan()
        return len(text)

    def push(self) -> bool:
        """Write what is held, as far as it is taken now; whether some still is."""
        self._file.push()
        if self._file.lost > self._told_lost and not self._file.behind:
            self._told_lost = self._file.lost
            _limited.warning("log: lines lost: %d (%s)", self._told_lost, self._file.fault)
            self._told_lost = self._file.lost  # that line too, if there is no reader any more
        return self._file.behind

    def _plan(self) -> None:
        if self._file.behind and not self._planned and _later is not None:
            self._planned = True
            _later(AGAIN_SECONDS, self._push_again)

    def _push_again(self) -> None:
        self._planned = False
        self.push()
        self._plan()


def _unwaiting_stderr() -> _Unwaiting | None:
    """Return it if it is a pipe or a socket: a file takes all, and who stops a terminal looks at it."""
    with suppress(OSError):  # then it waits
        mode = os.fstat(STANDARD[STDERR]).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return _Unwaiting(LineFile(STDERR))
    return None
