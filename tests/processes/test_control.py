from __future__ import annotations

import socket

from lb.processes.control import BEAT, READY, Control


def test_signs_of_life_reach_the_supervisor() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        control = Control(theirs.fileno())
        control.ready()
        control.beat()
        assert ours.recv(10) == READY + BEAT


def test_a_supervisor_is_lost_when_its_end_is_closed() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        control = Control(theirs.fileno())
        assert not control.lost()
        ours.close()
        assert control.lost()


def test_a_supervisor_that_is_gone_or_does_not_read_disturbs_nobody() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        control = Control(theirs.fileno())
        for _ in range(100_000):  # more than the line holds
            control.beat()
        ours.close()
        control.beat()
        assert control.lost()


def test_without_a_supervisor_nothing_happens() -> None:
    control = Control()
    control.ready()
    control.beat()
    assert not control.lost()
    assert control.fileno() is None
