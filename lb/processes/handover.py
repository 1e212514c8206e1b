"""What a process leaves to others: in unnamed files, so that `ps`, environ and directories show no secret."""

from __future__ import annotations

import os
import sys
import tempfile


def write(text: str) -> int:
    """Write a file without a name and return its descriptor."""
    if sys.platform == "linux":  # in memory: no secret reaches a disk, and no directory need be writable
        fd = os.memfd_create("lb")
        os.write(fd, text.encode())
        return fd
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        return os.dup(file.fileno())


def read(fd: int) -> str:
    """Read what `write` wrote, from its beginning."""
    return os.pread(fd, os.fstat(fd).st_size, 0).decode()


def take(fd: int) -> str:
    """Read what `write` wrote, and close it: it may hold secrets, and nobody else is to inherit them."""
    text = read(fd)
    os.close(fd)
    return text
