from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from lb.processes.child import Child, Role
from lb.processes.lines import Lines


@pytest.fixture
def lines() -> Iterator[Lines]:
    with Lines() as lines:
        yield lines


def connected(**traits: bool) -> tuple[Child, socket.socket]:
    """Return a child and the end of its line that its process would have."""
    child = Child(Role("worker", **traits))
    child.control, theirs = socket.socketpair()
    child.control.settimeout(0)
    return child, theirs


def test_signs_of_life_are_heard(lines: Lines) -> None:
    child, theirs = connected()
    with theirs:
        lines.listen_to(child)
        theirs.send(b"R")
        lines.wait(10.0)
        assert child.ready
        lines.hang_up(child)


def test_a_line_that_its_child_has_closed_is_closed_here_too(lines: Lines) -> None:
    child, theirs = connected()
    lines.listen_to(child)
    theirs.close()
    lines.wait(10.0)
    assert child.control is None
    lines.hang_up(child)  # changes nothing
    lines.wait(0.0)


def test_who_gives_no_signs_is_not_listened_to(lines: Lines) -> None:
    child, theirs = connected(beats=False)
    lines.listen_to(child)
    theirs.close()
    lines.wait(0.0)
    assert child.control is not None
    lines.hang_up(child)
    assert child.control is None


def test_anything_else_that_becomes_readable_is_acted_on(lines: Lines) -> None:
    ours, theirs = socket.socketpair()
    came = list[bytes]()
    with ours, theirs:
        lines.add(ours, lambda: came.append(ours.recv(9)))
        lines.wait(0.0)
        theirs.send(b"it")
        lines.wait(10.0)
    assert came == [b"it"]
