"""Limits what the log says of a condition that lasts: the first line at once, then one a minute with a count.

Every layer may use it, in any process: it needs no timer of its own. Each process calls `flush` about once a
second, so that a count is logged also when the condition has ended.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from weakref import WeakSet

WINDOW_SECONDS = 60.0
#: Kinds that are remembered for one log, or memory would grow with what clients make up. Further ones share
#: one count per message.
_MOST_KINDS = 1024

_logs: WeakSet[LimitedLog] = WeakSet()


@dataclass(slots=True)
class _Window:
    """What was logged of one kind within a minute."""

    began: float
    room: int  # lines that may still be logged at once
    level: int = logging.WARNING
    text: str = ""  # of the last line that was held back
    held: int = 0  # lines held back


class LimitedLog:
    """A logger for conditions that last, or come back as fast as clients can make them.

    A kind is a message before its arguments, and what it is said `of`. The count comes with the latest
    arguments. Only `burst` lines of a kind are logged at once within a minute.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`name` is the logger's."""
        self._log = logging.getLogger(name)
        self._clock = clock
        self._windows: dict[Hashable, _Window] = {}
        _logs.add(self)

    def info(self, message: str, *args: object, of: Hashable = None, burst: int = 1) -> None:
        """Log at level INFO."""
        self._say(logging.INFO, message, args, of, burst)

    def warning(self, message: str, *args: object, of: Hashable = None, burst: int = 1) -> None:
        """Log at level WARNING."""
        self._say(logging.WARNING, message, args, of, burst)

    def error(self, message: str, *args: object, of: Hashable = None, burst: int = 1) -> None:
        """Log at level ERROR."""
        self._say(logging.ERROR, message, args, of, burst)

    def exception(self, message: str, *args: object, error: BaseException | None = None) -> None:
        """Log an exception (the one being handled) with a traceback; a kind is where it was raised."""
        error = error or sys.exc_info()[1]
        trace = None if error is None else error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)
        self._say(logging.ERROR, message, args, (type(error), place), 1, error)

    def flush(self, *, at_end: bool = False) -> None:
        """Log the counts that are due, all of them `at_end`, and forget the kinds that came no more."""
        now = self._clock()
        for kind, window in list(self._windows.items()):
            if at_end or now >= window.began + WINDOW_SECONDS:
                if window.held:
                    self._sum_up(window, now)
                else:
                    self._windows.pop(kind, None)

    def forget(self) -> None:
        """Log the next line of each kind at once."""
        self._windows.clear()

    def _say(  # noqa: PLR0913, PLR0917 (what a line consists of)
        self,
        level: int,
        message: str,
        args: tuple[object, ...],
        of: Hashable,
        burst: int,
        error: BaseException | None = None,
    ) -> None:
        now = self._clock()
        kind = (message, of)
        if kind not in self._windows and len(self._windows) >= _MOST_KINDS:
            kind = (message, None)
        window = self._windows.get(kind)
        if window is None or (now >= window.began + WINDOW_SECONDS and not window.held):
            window = self._windows[kind] = _Window(now, burst)
        if window.room > 0:
            window.room -= 1
            self._log.log(level, message, *args, exc_info=error, stacklevel=3)
            return
        window.held += 1
        window.level, window.text = level, message % args if args else message
        if now >= window.began + WINDOW_SECONDS:
            self._sum_up(window, now)

    def _sum_up(self, window: _Window, now: float) -> None:
        """Log what was held back, and begin another minute in which only that is counted."""
        text, held, seconds = window.text, window.held, now - window.began
        window.began, window.held, window.room = now, 0, 0
        self._log.log(window.level, "%s (%d more in %.0f s)", text, held, seconds)


def flush(*, at_end: bool = False) -> None:
    """Log the counts that are due in this process, or all of them before it ends."""
    for log in list(_logs):
        log.flush(at_end=at_end)


def forget() -> None:
    """Log the next line of each kind at once, as a new process would."""
    for log in list(_logs):
        log.forget()


atexit.register(flush, at_end=True)
