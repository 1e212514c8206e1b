"""Turns: who is ahead stands back, and nobody waits for long."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.metrics import scoreboard
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard
from lb.proxy.acceptor import Acceptor
from lb.proxy.deadlines import Deadlines
from lb.proxy.exchange import Unmetered
from lb.proxy.stream import Stream
from lb.proxy.turns import Turns
from tests.proxy.rig import until


class _Among(Unmetered):
    """A worker among others, which have so many clients each."""

    def __init__(self, *others: int) -> None:
        self.others = list(others)

    def clients_of_others(self) -> list[int]:
        return self.others


def test_a_worker_that_is_alone_takes_all():
    assert Turns(_Among()).room(1000) == 16


@pytest.mark.parametrize(("own", "room"), [(0, 4), (3, 1), (4, 0), (100, 0)])
def test_who_is_ahead_of_any_other_stands_back(own: int, room: int):
    assert Turns(_Among(7, 0, 9)).room(own) == room


def test_who_is_far_behind_takes_a_batch():
    assert Turns(_Among(500)).room(0) == 16


def test_who_stood_back_takes_some_of_those_that_nobody_came_for():
    turns = Turns(_Among(0))
    assert turns.room(10) == 0
    turns.stood_back()
    assert [turns.room(10), turns.room(14)] == [4, 0]


@pytest.mark.parametrize("pause", [0.002, 0.02, 0.5])
def test_nobody_waits_for_long_for_a_worker_that_never_comes(pause: float):
    """However long a turn of the loop takes: a machine that is too busy makes pauses of 2 ms long ones."""
    now = [100.0]
    turns, own, waited = Turns(_Among(0), lambda: now[0]), 0, 0.0
    while own < 10_000:
        room = turns.room(own)
        own += room
        if not room:
            now[0] += pause
            waited += pause
            turns.stood_back()
    assert waited < 0.021 + pause


def test_patience_is_whole_again_once_somebody_came():
    now = [100.0]
    turns = Turns(_Among(0), lambda: now[0])
    for act in (turns.none_waits, lambda: turns.room(0)):
        assert turns.room(10) == 0
        now[0] += 1
        turns.stood_back()
        assert turns.room(10) == 16
        act()
        assert turns.room(10) == 0
        turns.stood_back()
        assert [turns.room(10), turns.room(14)] == [4, 0]
        turns.none_waits()


@given(st.lists(st.integers(0, 200), max_size=5), st.lists(st.sampled_from("rsn"), max_size=50))
def test_room_is_never_more_than_a_batch_nor_negative(others: list[int], acts: list[str]):
    turns, own = Turns(_Among(*others)), 0
    for act in acts:
        if act == "r":
            room = turns.room(own)
            assert 0 <= room <= 16
            own += room
        elif act == "s":
            turns.stood_back()
        else:
            turns.none_waits()


class _Workers:
    """Acceptors of one listening socket, as workers have them, in one hub."""

    def __init__(self, count: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.board = Scoreboard(scoreboard.create("here"))
        self.deadlines = Deadlines()
        self.meters, self.acceptors = [], []
        for slot in range(count):
            self.board.grant(slot)
            self.meters.append(Meters(self.board, slot))
            self.acceptors.append(self._acceptor(self.meters[slot]))

    def _acceptor(self, meters: Meters) -> Acceptor:
        return Acceptor(
            self.listener.dup(),
            lambda sock: Stream(sock, self.deadlines),
            lambda stream, _: closing(stream).__exit__(None, None, stream.receive()),
            meters,
            make_room=lambda: None,
            press=bool,
            clients=set(),
            max_clients=1000,
        )

    def connect(self, count: int) -> list[socket.socket]:
        clients = []
        for _ in range(count):
            clients.append(socket.socket())
            clients[-1].setblocking(False)
            clients[-1].connect_ex(self.listener.getsockname())
        return clients

    def shares(self) -> list[int]:
        return [len(acceptor.clients) for acceptor in self.acceptors]

    def close(self) -> None:
        for acceptor in self.acceptors:
            acceptor.stop()
        self.listener.close()


@pytest.fixture
def workers() -> Iterator[_Workers]:
    with closing(_Workers(2)) as two:
        yield two


def test_a_burst_is_shared(workers: _Workers):
    for acceptor in workers.acceptors:
        acceptor.start()
    clients = workers.connect(64)
    until(lambda: sum(workers.shares()) == 64)
    assert max(workers.shares()) <= 36
    assert workers.shares() == [meters.clients for meters in workers.meters]
    for client in clients:
        client.close()
    until(lambda: workers.shares() == [0, 0])
    assert [meters.clients for meters in workers.meters] == [0, 0]


def test_a_worker_that_hangs_keeps_no_client_out(workers: _Workers):
    quick, hung = workers.acceptors
    hung.start()
    hung._watcher.stop()  # it believes to be accepting, as the others do
    quick.start()
    clients = workers.connect(400)
    until(lambda: workers.shares() == [400, 0])
    for client in clients:
        client.close()
    until(lambda: workers.shares() == [0, 0])


def test_one_that_accepts_no_more_is_not_waited_for(workers: _Workers):
    staying, leaving = workers.acceptors
    staying.start()
    leaving.start()
    leaving.stop()
    assert workers.meters[0].clients_of_others() == []
    clients = workers.connect(64)
    until(lambda: workers.shares() == [64, 0])
    for client in clients:
        client.close()
    until(lambda: workers.shares() == [0, 0])
    gevent.sleep(0)
