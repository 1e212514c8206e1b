"""Responses that never seem to end: each event arrives at once, and whoever leaves is noticed at once."""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.integration.conftest import Play
from tests.integration.fleet import Fleet
from tests.integration.load import Client
from tests.integration.raw import Connection
from tests.support import eventually

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
ENDLESS = HEAD + b"\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
#: An event that was not delayed on purpose takes a millisecond; the machine may be busy. What is held back
#: would come with the next one, which there is none of until this one was seen.
SOON_SECONDS = 10.0


class Stage:
    """A server's side of a stream, told by the test what to say."""

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._lines: queue.Queue[bytes] = queue.Queue()
        self.ended = threading.Event()  # the balancer closed its connection

    def play(self, connection: Connection) -> None:
        if b"/check" in connection.read_head():
            return
        connection.send(self._head)
        threading.Thread(target=self._watch, args=(connection,), daemon=True).start()
        while data := self._lines.get():
            connection.send(data)
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)  # closing alone would wait for the watcher

    def say(self, event: bytes) -> None:
        """Send an event; empty is the end."""
        chunked = b"chunked" in self._head
        self._lines.put(b"%x\r\n%b\r\n" % (len(event), event) if chunked and event else event)

    def finish(self) -> None:
        if b"chunked" in self._head:
            self._lines.put(b"0\r\n\r\n")
        self._lines.put(b"")

    def _watch(self, connection: Connection) -> None:
        connection.wait_end()
        self.ended.set()
        self._lines.put(b"")


@contextmanager
def streaming(plane: Fleet, stage: Stage, play: Play, version: bytes = b"1.1") -> Iterator[Client]:
    """Yield a client whose socket gives what comes after the response's head."""
    play(stage.play)
    with Client(plane.url) as client:
        client.send(b"GET /events HTTP/%b\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n" % version)
        client.socket.settimeout(SOON_SECONDS)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.socket.recv(1)
        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        yield client


def read_event(client: Client) -> bytes:
    """Read to the end of an event, whatever frames it."""
    data = b""
    while b"\n\n" not in data:
        data += client.socket.recv(65536)
    return data


@pytest.mark.parametrize("head", [ENDLESS, CHUNKED], ids=["until-close", "chunked"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_each_event_arrives_before_the_next_is_sent(
    plane: Fleet, play: Play, head: bytes, version: bytes
) -> None:
    stage = Stage(head)
    with streaming(plane, stage, play, version) as client:
        for number in range(50):
            event = b"id: %d\ndata: tick\n\n" % number
            stage.say(event)
            assert event in read_event(client)
        stage.finish()
        rest = (
            b"".join(iter(lambda: client.socket.recv(65536), b""))
            if version == b"1.0"
            else client.socket.recv(5)
        )
        assert rest == (b"" if version == b"1.0" else b"0\r\n\r\n")


def test_the_head_arrives_before_the_first_event(plane: Fleet, play: Play) -> None:
    """A browser's EventSource is open from here on."""
    stage = Stage(CHUNKED)
    with streaming(plane, stage, play):  # reads the head
        plane_counts(plane, 1)
        stage.finish()


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_that_leaves_ends_the_servers_connection(plane: Fleet, play: Play, leave: str) -> None:
    stage = Stage(CHUNKED)
    with streaming(plane, stage, play) as client:
        stage.say(b"data: one\n\n")
        read_event(client)
        plane_counts(plane, 1)
        if leave == "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert stage.ended.wait(SOON_SECONDS), "the server goes on for nobody"  # though no event was due
        plane_counts(plane, 0)


def test_many_clients_that_leave_are_all_forgotten(plane: Fleet, play: Play) -> None:
    stages: list[Stage] = []

    def play_own(connection: Connection) -> None:
        stages.append(stage := Stage(CHUNKED))
        stage.play(connection)

    play(play_own)
    clients = [Client(plane.url) for _ in range(30)]
    for client in clients:
        client.send(client.head())
        client.socket.recv(1)
    plane_counts(plane, 30)
    for client in clients:
        client.close()
    plane_counts(plane, 0)
    eventually(
        lambda: sum(not stage.ended.is_set() for stage in stages) <= 1,  # one is a health check's
        what="no server that goes on for nobody",
    )


def plane_counts(plane: Fleet, count: int) -> None:
    """Wait until so many requests are counted."""
    eventually(lambda: sum(plane.connections().values()) == count, what=f"{count} requests in flight")
