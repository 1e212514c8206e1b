"""How a command ends whose standard output takes no more: one line and a status, no traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


@contextmanager
def output_of(program: str) -> Iterator[None]:
    """End with status 1 if standard output cannot be written; click itself ends it if the reader left."""
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
