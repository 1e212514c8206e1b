"""The whole suite runs in two processes at once, for most tests wait most of the time; some must be alone.

A test that is marked `alone` has the machine for itself: it begins when the other process is between two
tests, and that one goes on when it has ended. A run of chosen files is one process, as any with `-n 0`.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

PROCESSES = 2
#: Bytes of the shared file that stand for locks. Who waits to be alone keeps the door shut: nobody may enter.
_DOOR, _ROOM = 0, 1
_FILE, _COMPANY = pytest.StashKey[str](), pytest.StashKey["Company"]()


class Company:
    """Tells who may run beside whom, by locks on a file that all processes of a run have open."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR)

    @contextmanager
    def joined(self, *, alone: bool) -> Iterator[None]:
        """Be in the room until the block ends; with nobody else in it, if alone."""
        self._lock(_DOOR, fcntl.LOCK_EX)
        try:
            self._lock(_ROOM, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            self._lock(_DOOR, fcntl.LOCK_UN)
        try:
            yield
        finally:
            self._lock(_ROOM, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave for good."""
        os.close(self._file)

    def _lock(self, which: int, how: int) -> None:
        fcntl.lockf(self._file, how, 1, which)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Say in how many processes the tests run; 0: in this one."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return PROCESSES if whole and len(os.sched_getaffinity(0)) >= PROCESSES else 0


def pytest_configure(config: pytest.Config) -> None:
    """Make the file in the process that has others run the tests, and open it in those."""
    if hasattr(config, "workerinput"):
        company = config.stash[_COMPANY] = Company(config.workerinput["company"])
        config.add_cleanup(company.close)
    elif config.getoption("numprocesses", None):
        file, path = tempfile.mkstemp(prefix="lb-tests-")
        os.close(file)
        config.add_cleanup(Path(path).unlink)
        config.stash[_FILE] = path


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process where the file is."""
    node.workerinput["company"] = node.config.stash[_FILE]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test in the company that it can bear."""
    company = item.config.stash.get(_COMPANY, None)
    alone = item.get_closest_marker("alone") is not None
    with company.joined(alone=alone) if company else nullcontext():
        return (yield)
