"""Standard streams that are not as usual: closed from the start, without room, or with nobody who reads."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

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
    """End with status 1 if standard output cannot be written.

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
        write_no_more()
        reason = os.strerror(error.errno).lower()
        sys.stderr.write(f"{program}: error: cannot write to standard output: {reason}\n")
        sys.exit(1)


class Commands(click.Group):
    """Commands whose reader may have had enough: that ends them, and is no failure."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the command line, and print what only that asks for, such as help."""
        with _until_the_reader_leaves():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _until_the_reader_leaves():
            return super().invoke(ctx)


@contextmanager
def _until_the_reader_leaves() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # of which click makes status 1
        if not reader_left():
            raise
        write_no_more()
        sys.exit(0)


def reader_left() -> bool:
    """Whether nobody reads standard output any more, as behind `| head -1`."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def write_no_more() -> None:
    """Write what is still to be written to nothing: the interpreter would try it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
