"""How every process speaks on standard error: lines for people, or an object per line for programs."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import sys
import time
from contextlib import suppress

from lb.proxy.line_file import STANDARD, STDERR, LineFile

#: What one configuration calls each format.
TEXT, JSON = "text", "json"

_speaker = "lb"
_format = TEXT


def configure(who: str, log_format: str = TEXT) -> None:
    """Log what `lb` says from level INFO, and what libraries say from WARNING, as `who`."""
    global _speaker  # noqa: PLW0603 (logging is the process's too)
    _speaker = who
    handler = logging.StreamHandler(_unwaiting_stderr())
    handler.setFormatter(_Lines(f"%(asctime)s lb[{who}] %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("lb").setLevel(logging.INFO)
    use(log_format)


def use(log_format: str) -> None:
    """Go on in this format, as the configuration says once it is read."""
    global _format  # noqa: PLW0603
    _format = log_format


def say(line: str, level: int = logging.INFO) -> None:
    """Write a line that is for people as it is; that nobody reads it any more must not end the traffic."""
    if _format == JSON:
        line = _as_json(logging.LogRecord("lb", level, "", 0, line.removeprefix("lb: "), None, None))
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def reopen() -> None:
    """Write on to files of the same names: after a rotation those that are open have other ones."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()  # the next line opens it again


class _Lines(logging.Formatter):
    """Records in the format that is in use."""

    def format(self, record: logging.LogRecord) -> str:
        if _format == JSON:
            return _as_json(record)
        return super().format(record)


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
    """Standard error where that is a pipe, whose reader may stall: no process stands still for its words."""

    def __init__(self, file: LineFile) -> None:
        self._file = file

    def write(self, text: str) -> int:
        self._file.append(text.encode())
        return len(text)


def _unwaiting_stderr() -> _Unwaiting | None:
    with suppress(OSError):  # then it waits
        if stat.S_ISFIFO(os.fstat(STANDARD[STDERR]).st_mode):
            return _Unwaiting(LineFile(STDERR))
    return None
