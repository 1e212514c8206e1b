"""What a process leaves to others: in unnamed files, so that `ps`, environ and directories show no secret."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from lb.config import Config, from_json, to_json


@contextmanager
def config_file(config: Config) -> Iterator[int]:
    """Write the configuration to a file without a name and yield its descriptor, for children to inherit."""
    fd = write(to_json(config))
    try:
        yield fd
    finally:
        os.close(fd)


def read_config(fd: int) -> Config:
    """Read what `config_file` wrote; it stays readable for others."""
    return from_json(read(fd))


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
