"""Whether a path may be written to where other users can make names: theirs would lead us anywhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_MOST_LINKS = 40  # the kernel's own limit
_ROOT = 0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_links(path: str) -> None:
    """Raise OSError if the path is a symbolic link that another user has made, or leads over one."""
    place = Path(path)
    for _ in range(_MOST_LINKS):
        try:
            found = place.lstat()
        except OSError:  # not there yet; and what it is if it cannot be looked at, opening it says
            return
        if not stat.S_ISLNK(found.st_mode):
            return
        if not _trusted(found.st_uid):
            raise PermissionError(
                errno.EPERM,
                f"{place} is a link of another user (uid {found.st_uid}), who may lead it anywhere",
            )
        place = place.parent / place.readlink()


def check_names(path: str, found: os.stat_result) -> None:
    """Raise OSError if a file has further names, one of which another user may have made: a hard link."""
    if not stat.S_ISREG(found.st_mode) or found.st_nlink == 1:
        return
    folder = Path(path).parent.stat()
    if folder.st_mode & _OTHERS_WRITE or not _trusted(folder.st_uid):
        raise PermissionError(
            errno.EPERM, "it is a file of several names, in a directory where others can make them"
        )


def _trusted(user: int) -> bool:
    return user in (os.geteuid(), _ROOT)
