"""Which client is closed when another needs its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest

from lb.proxy.deadlines import Deadlines
from lb.proxy.idle_clients import SHORTEST_SECONDS, IdleClients
from lb.proxy.stream import Stream
from tests.proxy.rig import sockets

KEEP_ALIVE_SECONDS = 75.0


class Clients:
    """Clients that are as idle as a test says, by a clock of its own."""

    def __init__(self, stack: ExitStack, deadlines: Deadlines) -> None:
        self._stack = stack
        self._deadlines = deadlines
        deadlines.close()  # no sweep: the test sets the clock
        self.streams: set[Stream] = set()
        self.peers: dict[Stream, Any] = {}
        self.idle = IdleClients(self.streams, deadlines, KEEP_ALIVE_SECONDS)

    def add(self, *, parked: bool = True) -> Stream:
        ours, peer = self._stack.enter_context(sockets())
        stream = Stream(ours, self._deadlines)
        self.streams.add(stream)
        self.peers[stream] = peer
        stream.arm(KEEP_ALIVE_SECONDS)
        stream.parked = parked
        gevent.spawn(self._wait, stream)
        gevent.sleep(0)
        return stream

    def close_oldest(self) -> Stream | None:
        self._deadlines.now += 0.001  # another sweep
        return self.idle.close_oldest()

    @staticmethod
    def _wait(stream: Stream) -> None:
        try:
            stream.receive_later()
        except ConnectionAbortedError:
            return
        stream.parked = False


@pytest.fixture
def clients(deadlines: Deadlines) -> Iterator[Clients]:
    with ExitStack() as stack:
        made = Clients(stack, deadlines)
        yield made
        for stream in made.streams:  # before their sockets, which the loop still watches
            stream.close()
        gevent.sleep(0)


@pytest.fixture
def wait(deadlines: Deadlines) -> Callable[[float], None]:
    def wait(seconds: float) -> None:
        deadlines.now += seconds

    return wait


def test_the_oldest_go_first(clients: Clients, wait: Callable[[float], None]) -> None:
    added = []
    for _ in range(3):
        added.append(clients.add())
        wait(5)
    clients.add(parked=False)
    wait(5)
    assert [clients.close_oldest() for _ in range(4)] == [*added, None]
    assert all(stream.closed for stream in added)


def test_one_that_was_silent_for_a_moment_stays(clients: Clients, wait: Callable[[float], None]) -> None:
    stream = clients.add()
    wait(SHORTEST_SECONDS - 0.1)
    assert clients.close_oldest() is None
    wait(0.1)
    assert clients.close_oldest() is stream


def test_one_whose_request_is_just_arriving_stays(clients: Clients, wait: Callable[[float], None]) -> None:
    """Before this process has read it."""
    first, second = clients.add(), clients.add()
    wait(10)
    clients.peers[first].sendall(b"GET")
    clients.peers[second].sendall(b"GET")
    assert clients.close_oldest() is None


def test_one_that_has_asked_again_since_is_as_old_as_that(
    clients: Clients, wait: Callable[[float], None]
) -> None:
    streams = [clients.add() for _ in range(3)]
    wait(10)
    first = clients.close_oldest()
    assert first in streams
    left = [stream for stream in streams if stream is not first]
    for stream in left:
        stream.arm(KEEP_ALIVE_SECONDS)
    assert clients.close_oldest() is None


def test_all_clients_are_looked_at_once_a_sweep(clients: Clients, wait: Callable[[float], None]) -> None:
    wait(10)
    assert clients.idle.close_oldest() is None
    late = clients.add()
    late.deadline -= 10
    assert clients.idle.close_oldest() is None
    assert clients.close_oldest() is late


def test_who_has_all_of_the_last_answer_makes_room_too(
    clients: Clients, wait: Callable[[float], None]
) -> None:
    """Its connection is open only in case that it sends something; not while it still takes the answer."""
    done, taking, sending = (clients.add(parked=False) for _ in range(3))
    done.lingers = taking.lingers = True
    taking.send_all(b"answer")
    wait(10)
    assert [clients.close_oldest() for _ in range(2)] == [done, None]
    assert not sending.closed
    for stream in (taking, sending):
        stream.close()
