"""Standard streams that are not as usual: closed from the start, or with no room for what is written."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LAST = 2  # of the standard descriptors
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def open_streams() -> None:
    """Open what is closed of standard input, output and error, as nothing.

    Else the next socket would have that descriptor, and processes started here would write to it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _LAST:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 (to the end)
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115


@contextmanager
def output_of(program: str) -> Iterator[None]:
    """End with status 1 if standard output cannot be written; click itself ends it if the reader left.

    Characters that the locale's encoding lacks are written as "?".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        # The interpreter would try to write what is left, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        reason = os.strerror(error.errno).lower()
        sys.stderr.write(f"{program}: error: cannot write to standard output: {reason}\n")
        sys.exit(1)
