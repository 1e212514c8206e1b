"""Where lines of a log go: appended to a file, pipe, terminal or socket, never waiting for who reads them."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from _socket import socket as RawSocket  # noqa: N812 (unpatched, and a class to us)
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from lb.errors import ConfigError
from lb.proxy.links import check_links, check_names

#: What stands for the standard streams in place of a path, and their descriptors.
STDOUT, STDERR = "stdout", "stderr"
STANDARD: Final = {STDOUT: 1, STDERR: 2}

#: Held for a reader that does not keep up; what comes beyond that is lost.
HELD_BYTES: Final = 1 << 20

_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Place:
    """Something open: how to write to it and close it, and whether a write takes any number of lines."""

    write: Callable[[bytes], int]
    close: Callable[[], object]
    whole: bool


def try_to_open(path: str, setting: str) -> None:
    """Raise ConfigError, in the words of a setting, if a path cannot be written to."""
    try:
        LineFile(path).close()
    except OSError as error:
        raise ConfigError([f"{setting}: cannot write to {path}: {error.strerror}"]) from None


class LineFile:
    """Takes whole lines; counts in `lost` those that could not be written, `fault` says why.

    What others write to the same place does not tear them: a file takes all that comes at once, anything else
    takes pieces of whole lines no longer than PIPE_BUF.
    """

    def __init__(self, path: str) -> None:
        """Open it; OSError if that cannot be."""
        self._path = path
        self._place = _open(path)
        self._held: deque[bytes] = deque()  # pieces that are not written yet
        self._held_bytes = 0
        self._torn = False  # what was written last does not end its line
        self.lost = 0
        self.fault = ""

    def append(self, lines: bytes) -> None:
        """Write whole lines, after those that are still held."""
        for whole in [lines] if self._place.whole else _pieces(lines):
            piece = b"\n" + whole if self._torn and not self._held else whole
            if self._held and self._held_bytes + len(piece) > HELD_BYTES:
                self._lose([piece], "its reader does not keep up")
            else:
                self._held.append(piece)
                self._held_bytes += len(piece)
        self.push()

    @property
    def behind(self) -> bool:
        """Whether lines are held."""
        return bool(self._held)

    def push(self) -> None:
        """Write what is held, as far as it is taken now."""
        while self._held:
            piece = self._held[0]
            try:
                sent = self._place.write(piece)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(self._held, error.strerror or str(error))
                self._held.clear()
                self._held_bytes = 0
                return
            self._torn = not piece.endswith(b"\n", 0, sent)
            self._held_bytes -= sent
            if sent < len(piece):
                self._held[0] = piece[sent:]
            else:
                self._held.popleft()

    def reopen(self) -> None:
        """Open the path anew, after it was renamed; OSError, and all stays as it was, if that cannot be."""
        if self._path not in STANDARD:
            before, self._place = self._place, _open(self._path)
            before.close()

    def close(self) -> None:
        """Close; what is still held is lost."""
        self._lose(self._held, "its reader does not keep up")
        self._held.clear()
        self._place.close()

    def _lose(self, pieces: Iterable[bytes], why: str) -> None:
        self.lost += sum(piece.count(b"\n") - piece.startswith(b"\n") for piece in pieces)
        self.fault = why


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Cut at ends of lines, into what a pipe takes in one piece."""
    start = 0
    while len(lines) - start >= select.PIPE_BUF:  # an end of line may come before it
        end = lines.rfind(b"\n", start, start + select.PIPE_BUF - 1) + 1
        if not end:  # a longer line
            break
        yield lines[start:end]
        start = end
    yield lines[start:]


def _open(path: str) -> _Place:
    if path in STANDARD:
        return _open_standard(STANDARD[path])
    check_links(path)
    descriptor = os.open(path, _APPENDING | os.O_CREAT, 0o640)
    try:
        check_links(path)  # not since a moment ago either
        check_names(path, os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return _place(descriptor)


def _open_standard(number: int) -> _Place:
    """Open a standard stream anew, as not waiting is a property that all who inherited it would share."""
    if stat.S_ISSOCK(os.fstat(number).st_mode):  # the journal of systemd
        sock = RawSocket(fileno=os.dup(number))
        return _Place(partial(_send, sock), sock.close, whole=False)
    try:
        return _place(os.open(f"/dev/fd/{number}", _APPENDING))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENXIO):
            raise
    descriptor = os.dup(number)  # somebody else's, or no way to open it anew
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.set_blocking(descriptor, False)
    return _place(descriptor)


def _place(descriptor: int) -> _Place:
    whole = stat.S_ISREG(os.fstat(descriptor).st_mode)
    return _Place(partial(os.write, descriptor), partial(os.close, descriptor), whole)


def _send(sock: RawSocket, data: bytes) -> int:
    return sock.send(data, socket.MSG_DONTWAIT)
