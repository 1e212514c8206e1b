"""The data directory is its user's alone: who else can write to it decides what the store holds and does."""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

from lb.errors import LBError
from lb.store import embedded

_log = logging.getLogger(__name__)

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_DO_ANYTHING = stat.S_IRWXG | stat.S_IRWXO
_ROOT = 0


def prepare(path: Path) -> None:
    """Make the directory for its owner alone, or see that one that is there is so; OSError, LBError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (os.geteuid(), _ROOT):
        raise _refusal(path, f"it belongs to another user (uid {found.st_uid})")
    if mode & stat.S_ISVTX and mode & _OTHERS_WRITE:
        raise _refusal(path, f"it is shared by several users (mode {mode:04o})")
    if mode & _OTHERS_WRITE and found.st_uid == os.geteuid():
        path.chmod(mode & ~_OTHERS_WRITE)
        _log.warning("dataDir: others could write to %s (mode %04o): its owner alone can now", path, mode)
    elif mode & stat.S_IWOTH:  # root's: a group that can write to it, as in a volume, is the one we are in
        raise _refusal(path, f"everyone can write to it (mode {mode:04o})")


def hide(path: Path) -> None:
    """Have nobody else read what the store has written there, also with an earlier version or umask."""
    folder = path / embedded.APPEND_ONLY
    for file in (embedded.log_path(path), folder, *folder.glob("*")):
        with suppress(OSError):  # it is not there, or another user's
            mode = stat.S_IMODE(file.lstat().st_mode)
            if not file.is_symlink() and mode & _OTHERS_DO_ANYTHING:
                file.chmod(mode & ~_OTHERS_DO_ANYTHING)


def _refusal(path: Path, reason: str) -> LBError:
    return LBError(
        f"cannot use {path} as data directory: {reason}, so others could change what the store holds; "
        "choose one of this user alone with --data-dir, such as a directory in it that does not exist yet"
    )
