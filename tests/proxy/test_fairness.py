"""What one connection does between two turns of the loop: counted in receives and messages, not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import gevent
import pytest

from lb.errors import ClientError
from lb.proxy.body import ChunkedBody, LengthBody, UntilCloseBody, chunk, last_chunk
from lb.proxy.deadlines import Deadlines
from lb.proxy.fairness import MESSAGE_COST, RECEIVE_COST, TURN_BYTES, go_round
from lb.proxy.stream import Stream
from lb.proxy.tunnel import tunnel
from tests.proxy.rig import sockets

#: More receives than one turn has, of little each.
RECEIVES = 4 * TURN_BYTES // RECEIVE_COST
RECEIVES_A_TURN = TURN_BYTES // RECEIVE_COST + 1
CHUNKS = 4 * TURN_BYTES // MESSAGE_COST


class Turns:
    """Counts how often something was done in each turn of the loop."""

    def __init__(self) -> None:
        self.counts = [0]

    def note(self, count: int = 1) -> None:
        self.counts[-1] += count

    @property
    def most(self) -> int:
        return max(self.counts)

    @property
    def total(self) -> int:
        return sum(self.counts)


@pytest.fixture
def turns() -> Iterator[Turns]:
    counted = Turns()
    watcher = gevent.get_hub().loop.check()  # called once after each look at the sockets
    watcher.start(lambda: counted.counts.append(0))
    yield counted
    watcher.stop()
    watcher.close()


class Busy:
    """A socket whose peer has sent its next byte whenever one is received: a peer that is always ready."""

    def __init__(self, ours: Any, theirs: Any, turns: Turns) -> None:
        self._ours, self._theirs, self._turns = ours, theirs, turns
        self.fileno, self.send, self.close, self.shutdown = ours.fileno, ours.send, ours.close, ours.shutdown
        theirs.send(b"x")

    def recv(self, size: int) -> bytes:
        data: bytes = self._ours.recv(size)
        self._theirs.send(b"x")
        self._turns.note()
        return data


@contextmanager
def busy(deadlines: Deadlines, turns: Turns) -> Iterator[Stream]:
    with sockets() as (ours, theirs):
        stream = Stream(cast("Any", Busy(ours, theirs, turns)), deadlines)
        yield stream
        stream.close()


def test_going_round_lets_sockets_and_timers_have_their_turn(turns: Turns) -> None:
    def selfish() -> None:
        for _ in range(20):
            turns.note()
            go_round()

    gevent.spawn(selfish).get(timeout=5)
    assert turns.most == 1


def test_one_who_is_killed_while_others_have_their_turn_ends(turns: Turns) -> None:
    waiting = gevent.spawn(go_round)
    gevent.spawn(waiting.kill).join()
    assert waiting.successful()
    go_round()


def test_receives_that_succeed_at_once_let_others_have_turns(deadlines: Deadlines, turns: Turns) -> None:
    with busy(deadlines, turns) as stream:
        for _ in range(RECEIVES):
            assert stream.receive() == b"x"
    assert turns.total == RECEIVES
    assert turns.most <= RECEIVES_A_TURN


def test_a_wait_begins_the_count_again(deadlines: Deadlines) -> None:
    with sockets() as (ours, theirs):
        stream = Stream(ours, deadlines)
        for _ in range(RECEIVES):
            gevent.spawn(theirs.sendall, b"x")
            assert stream.receive() == b"x"
            assert stream.spent <= RECEIVE_COST + 1
        stream.close()


@pytest.mark.parametrize("extension", [b"", b";" + b"x" * 300])
def test_tiny_chunks_let_others_have_turns(deadlines: Deadlines, turns: Turns, extension: bytes) -> None:
    with sockets() as (ours, _):
        stream = Stream(ours, deadlines)
        stream.buffer = b"1%b\r\nx\r\n" % extension * CHUNKS + last_chunk(b"")  # came in one piece
        body = ChunkedBody(stream)
        while piece := body.read():
            turns.note(len(piece))
        stream.close()
    assert turns.total == CHUNKS
    assert turns.most <= TURN_BYTES // MESSAGE_COST


def test_chunks_that_come_one_by_one_let_others_have_turns(deadlines: Deadlines, turns: Turns) -> None:
    with sockets() as (ours, theirs):
        stream = Stream(ours, deadlines)
        body = ChunkedBody(stream)
        for _ in range(RECEIVES):
            theirs.send(chunk(b"x"))
            assert body.read() == b"x"
            turns.note()
        stream.close()
    assert turns.most <= RECEIVES_A_TURN


@pytest.mark.parametrize("kind", [lambda stream: LengthBody(stream, 10**9), UntilCloseBody])
def test_bodies_that_come_byte_by_byte_let_others_have_turns(
    deadlines: Deadlines, turns: Turns, kind: Callable[[Stream], Any]
) -> None:
    with busy(deadlines, turns) as stream:
        body = kind(stream)
        for _ in range(RECEIVES):
            assert body.read() == b"x"
    assert turns.most <= RECEIVES_A_TURN


@pytest.mark.parametrize("begun", [b"1;", b"0\r\nX: "], ids=["line", "trailer"])
def test_framing_that_comes_byte_by_byte_lets_others_have_turns(
    deadlines: Deadlines, turns: Turns, begun: bytes
) -> None:
    with busy(deadlines, turns) as stream:
        stream.buffer = begun
        with suppress(ClientError):  # it gets too long
            ChunkedBody(stream).read()
    assert turns.total > RECEIVES
    assert turns.most <= RECEIVES_A_TURN


def test_tunnels_let_others_have_turns(deadlines: Deadlines, turns: Turns) -> None:
    with busy(deadlines, turns) as client, busy(deadlines, turns) as server:
        both = gevent.spawn(tunnel, client, server, idle_seconds=60, half_closed_seconds=60)
        while turns.total < RECEIVES:
            go_round()
        both.kill()
    assert turns.most <= 2 * RECEIVES_A_TURN


def test_large_pieces_take_few_turns(deadlines: Deadlines, turns: Turns) -> None:
    """Going round costs as much as receiving some kilobytes: bulk data must not feel it."""
    with sockets() as (ours, theirs):
        stream = Stream(ours, deadlines)
        body = LengthBody(stream, 1 << 30)
        piece = b"x" * 100_000
        for _ in range(100):
            theirs.send(piece)
            assert body.read()
        stream.close()
    assert len(turns.counts) <= 100 // 4
