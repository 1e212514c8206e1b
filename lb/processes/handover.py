"""The configuration on its way to the children: an unnamed file, so that `ps` and environ show no secret."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from lb.config import Config, from_json, to_json


@contextmanager
def config_file(config: Config) -> Iterator[int]:
    """Write the configuration to a file without a name and yield its descriptor, for children to inherit."""
    with tempfile.TemporaryFile() as file:
        file.write(to_json(config).encode())
        file.flush()
        yield file.fileno()


def read_config(fd: int) -> Config:
    """Read what `config_file` wrote; it stays readable for others."""
    return from_json(os.pread(fd, os.fstat(fd).st_size, 0).decode())
