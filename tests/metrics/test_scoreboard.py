from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from lb.metrics import layout, scoreboard
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard


@pytest.fixture
def fd() -> Iterator[int]:
    fd = scoreboard.create("web1")
    yield fd
    os.close(fd)


def test_it_knows_itself(fd: int):
    one, two = Scoreboard(fd), Scoreboard(fd)
    assert one.run == two.run
    assert one.host == "web1"
    assert scoreboard.is_known(fd)


def test_each_has_a_run_of_its_own(fd: int):
    other = scoreboard.create("web1")
    assert Scoreboard(other).run != Scoreboard(fd).run
    os.close(other)


def test_what_another_version_made_is_left_alone(fd: int):
    os.pwrite(fd, b"lb scoreboard 0", 0)
    assert not scoreboard.is_known(fd)


def test_it_takes_memory_only_where_something_is_counted(fd: int):
    board = Scoreboard(fd)
    board.grant(0)
    Meters(board, 0).accepted()
    assert os.fstat(fd).st_blocks * 512 < 65536


def test_slots_that_ever_were_used_are_granted_and_those_with_a_worker_live(fd: int):
    board = Scoreboard(fd)
    board.grant(2)
    board.grant(0)
    assert list(board.granted) == [0, 1, 2]
    assert board.live == []
    Meters(board, 2)
    assert board.live == [2]
    board.vacate(2)
    assert board.live == []
    assert len(board.granted) == 3


def test_the_clients_of_others_leave_out_those_who_are_dead_or_take_no_more(fd: int):
    board = Scoreboard(fd)
    for slot in range(5):
        board.grant(slot)
    meters = [Meters(board, slot) for slot in range(5)]
    for worker in meters:
        worker.clients = 10 + worker.slot
        worker.accepting = worker.slot != 4
    board.vacate(2)
    assert meters[0].clients_of_others() == [11, 13]
    assert meters[3].clients_of_others() == [10, 11]


def test_of_what_is_noted_the_last_whole_line_is_read(fd: int):
    board = Scoreboard(fd)
    assert board.noted == ""
    for line in ("one", "two"):
        board.note(line)
        assert Scoreboard(fd).noted == line
    os.pwrite(fd, b"\nthr", os.fstat(fd).st_size)  # by one that was killed
    assert board.noted == "two"
    board.note("four")
    assert board.noted == "four"


def test_what_a_worker_counted_is_there_after_it_was_killed(fd: int):
    Scoreboard(fd).grant(layout.SLOTS - 1)
    pid = os.fork()
    if pid == 0:
        meters = Meters(Scoreboard(fd), layout.SLOTS - 1)
        meters.clients += 3
        for _ in range(5):
            meters.accepted()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    head = Scoreboard(fd).head(layout.SLOTS - 1)
    assert head.tolist()[:3] == [pid, 3, 5]
    heir = Meters(Scoreboard(fd), layout.SLOTS - 1)
    heir.accepted()
    assert head.tolist()[:3] == [os.getpid(), 0, 6]
