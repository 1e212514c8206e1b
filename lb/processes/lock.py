"""One user per data directory: a lock file that says who holds it, and frees itself when its holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lb.errors import LBError
from lb.processes import data_dir

_RETRY_SECONDS = 0.05


def take(path: Path, who: str, patience_seconds: float = 0.0) -> int:
    """Lock the file at `path` for `who` and return its descriptor: the lock lives as long as that is open.

    The directory is made if it is missing, for its owner only. LBError names the holder if the lock is still
    taken after `patience_seconds`.
    """
    deadline = time.monotonic() + patience_seconds
    with _as_data_directory(path.parent):
        data_dir.prepare(path.parent)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    while not _try_lock(fd):
        if time.monotonic() >= deadline:
            holder = os.pread(fd, 100, 0).decode(errors="replace").strip() or "another process"
            os.close(fd)
            raise LBError(
                f"{path.parent} is in use by {holder}; stop that one, or choose another with --data-dir"
            )
        time.sleep(_RETRY_SECONDS)
    with _as_data_directory(path.parent):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{who}, pid {os.getpid()}\n".encode(), 0)
    return fd


@contextmanager
def _as_data_directory(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_file = isinstance(error, FileExistsError)
        reason = "it is a file" if is_file else (error.strerror or str(error)).lower()
        raise LBError(
            f"cannot use {path} as data directory: {reason}; choose another with --data-dir"
        ) from error


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
