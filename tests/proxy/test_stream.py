"""Streams on real socket pairs: waiting, deadlines, writing more than is taken, closing, and not spinning."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest

from lb.proxy.deadlines import Deadlines
from lb.proxy.stream import Stream, StreamTimeoutError
from tests.proxy.rig import sockets, until

Pair = tuple[Stream, Any]


@pytest.fixture
def pair(deadlines: Deadlines) -> Iterator[Pair]:
    with sockets() as (ours, theirs):
        stream = Stream(ours, deadlines)
        yield stream, theirs
        stream.close()


def turns(count: int = 3) -> None:
    for _ in range(count):
        gevent.sleep(0.001)


def test_what_is_there_is_received_at_once(pair: Pair) -> None:
    stream, theirs = pair
    theirs.sendall(b"abc")
    assert stream.receive(2) == b"ab"
    assert stream.receive() == b"c"


@pytest.mark.parametrize("receive", [Stream.receive, Stream.receive_later])
def test_what_is_not_there_is_awaited(pair: Pair, receive: Any) -> None:
    stream, theirs = pair
    reader = gevent.spawn(receive, stream)
    until(lambda: stream.waits)
    assert not reader.ready()
    theirs.sendall(b"abc")
    assert reader.get(timeout=20) == b"abc"
    assert not stream.waits


def test_the_end_is_empty(pair: Pair) -> None:
    stream, theirs = pair
    reader = gevent.spawn(stream.receive_later)
    until(lambda: stream.waits)
    theirs.close()
    assert reader.get(timeout=20) == b""
    assert stream.receive() == b""


def test_peek_takes_nothing(pair: Pair) -> None:
    stream, theirs = pair
    assert stream.peek() is None
    assert stream.quiet()
    theirs.sendall(b"abc")
    assert stream.peek() == b"a"
    assert not stream.quiet()
    assert stream.receive() == b"abc"
    theirs.close()
    assert stream.peek() == b""
    stream.close()
    assert not stream.quiet()


@pytest.mark.parametrize("receive", [Stream.receive, Stream.receive_later])
def test_a_wait_ends_at_its_deadline_and_not_before(pair: Pair, receive: Any) -> None:
    stream, theirs = pair
    for _ in range(2):
        stream.arm(0.05)
        began = time.monotonic()
        with pytest.raises(StreamTimeoutError):
            receive(stream)
        assert 0.05 <= time.monotonic() - began < 5
    stream.arm(0.05)
    stream.disarm()
    gevent.spawn_later(0.15, theirs.sendall, b"late")
    assert receive(stream) == b"late"


def test_a_deadline_that_passes_between_two_waits_ends_the_next_one(pair: Pair) -> None:
    stream, _ = pair
    stream.arm(0.01)
    gevent.sleep(0.1)
    with pytest.raises(StreamTimeoutError):
        stream.receive()


def test_time_in_which_this_process_had_no_turn_is_nobodys_silence(pair: Pair) -> None:
    """What came meanwhile is read first: a worker that was frozen must not take its servers for silent."""
    stream, theirs = pair
    stream.arm(0.05)
    reader = gevent.spawn(stream.receive_later)
    until(lambda: stream.waits)
    theirs.sendall(b"abc")
    time.sleep(0.2)
    assert reader.get(timeout=20) == b"abc"


def test_two_that_expire_together_may_close_each_other(
    deadlines: Deadlines, capsys: pytest.CaptureFixture[str]
) -> None:
    with sockets() as (one, _), sockets() as (other, _):
        both = [Stream(one, deadlines), Stream(other, deadlines)]

        def write(stream: Stream) -> None:
            stream.patience_seconds = 0.05
            with suppress(OSError):
                stream.send_all(b"x" * 4_000_000)
            for each in both:
                each.close()

        gevent.joinall([gevent.spawn(write, stream) for stream in both])
    assert "Traceback" not in capsys.readouterr().err


def test_more_than_the_socket_takes_is_sent_as_it_is_taken(pair: Pair) -> None:
    stream, theirs = pair
    data = bytes(range(256)) * 16384  # 4 MiB
    writer = gevent.spawn(stream.send_all, data)
    turns()
    assert not writer.ready()
    received = b""
    while len(received) < len(data):
        received += theirs.recv(65536)
    assert received == data
    writer.get(timeout=20)


def test_a_peer_that_takes_nothing_ends_the_write_at_its_deadline(pair: Pair) -> None:
    stream, _ = pair
    stream.patience_seconds = 0.05
    with pytest.raises(StreamTimeoutError):
        stream.send_all(b"x" * 4_000_000)


def test_a_peer_that_takes_a_little_at_a_time_is_not_silent(pair: Pair) -> None:
    """A deadline bounds the peer's silence, however long all of it takes."""
    stream, theirs = pair
    stream.patience_seconds = 0.2
    began = time.monotonic()
    writer = gevent.spawn(stream.send_all, b"x" * 1_000_000)
    while not writer.ready():
        theirs.recv(100_000)
        gevent.sleep(0.06)
    writer.get()
    assert time.monotonic() - began > 0.4
    stream.patience_seconds = 0.05
    with pytest.raises(StreamTimeoutError):
        stream.send_all(b"x" * 4_000_000)


def test_a_peer_that_empties_a_large_buffer_is_not_silent(deadlines: Deadlines) -> None:
    """The kernel tells of room only when a third of its buffer is free, which can take a while."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 200_000)
        ours = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2_000_000)
        ours.connect(listener.getsockname())
        accepted = listener.accept()[0]
    accepted.setblocking(False)
    ours.setblocking(False)
    stream = Stream(ours, deadlines)
    stream.patience_seconds = 0.4
    with accepted:
        writer = gevent.spawn(stream.send_all, b"x" * 12_000_000)
        ends = time.monotonic() + 2
        while time.monotonic() < ends:
            with suppress(BlockingIOError):
                accepted.recv(40_000)
            gevent.sleep(0.02)
        assert not writer.ready()
        writer.join(2)  # now it takes nothing
        assert isinstance(writer.exception, StreamTimeoutError)
    stream.close()


def test_one_reads_while_another_writes(pair: Pair) -> None:
    stream, theirs = pair
    reader = gevent.spawn(stream.receive_later)
    writer = gevent.spawn(stream.send_all, b"x" * 1_000_000)
    turns()
    assert not reader.ready()
    theirs.sendall(b"abc")
    assert reader.get(timeout=20) == b"abc"
    assert not writer.ready()
    while not writer.ready():
        theirs.recv(65536)
        turns(1)


def test_reader_and_writer_have_times_of_their_own(pair: Pair) -> None:
    """Neither ends the other's wait, nor makes it longer."""
    stream, _ = pair
    stream.arm(0.05)
    stream.patience_seconds = 60
    reader, writer = gevent.spawn(stream.receive_later), gevent.spawn(stream.send_all, b"x" * 4_000_000)
    reader.join(5)
    assert isinstance(reader.exception, StreamTimeoutError)
    assert not writer.ready()
    stream.arm(60)
    reader = gevent.spawn(stream.receive_later)
    stream.arm_write(0.05)
    writer.join(5)
    assert isinstance(writer.exception, StreamTimeoutError)
    assert not reader.ready()
    reader.kill()


def test_closing_wakes_reader_and_writer(pair: Pair) -> None:
    stream, _ = pair
    waiting = [gevent.spawn(stream.receive_later), gevent.spawn(stream.send_all, b"x" * 4_000_000)]
    turns()
    stream.close()
    assert stream.closed
    stream.close()
    for greenlet in waiting:
        with pytest.raises(ConnectionAbortedError):
            greenlet.get(timeout=20)


@pytest.mark.parametrize("act", ["receive", "receive_later"])
def test_waiting_on_a_closed_stream_is_an_error_and_no_wait(pair: Pair, act: str) -> None:
    stream, theirs = pair
    theirs.sendall(b"x")
    stream.receive_later()  # its watcher has run
    stream.close()
    with pytest.raises(OSError):  # noqa: PT011 (which one depends on what is tried first)
        getattr(stream, act)()
    with pytest.raises(OSError):  # noqa: PT011
        stream.send_all(b"x")


def test_a_reader_that_is_killed_leaves_the_stream_to_the_next(pair: Pair) -> None:
    stream, theirs = pair
    reader = gevent.spawn(stream.receive_later)
    writer = gevent.spawn(stream.send_all, b"x" * 4_000_000)
    turns()
    reader.kill()
    writer.kill()
    theirs.sendall(b"abc")
    assert stream.receive_later() == b"abc"


def test_a_parked_stream_tells_what_happens_to_it(pair: Pair) -> None:
    stream, theirs = pair
    told: list[bytes | None] = []

    def tell() -> None:
        told.append(stream.peek())
        stream.stop_watching()

    stream.on_parked_readable = tell
    stream.parked = True
    stream.watch()
    turns()
    assert told == []
    stream.arm(0.01)
    until(lambda: told == [None])
    stream.watch()
    theirs.sendall(b"x")
    until(lambda: told == [None, b"x"])
    stream.receive()
    stream.watch()
    theirs.close()
    until(lambda: told == [None, b"x", b""])


def test_a_reader_comes_before_the_parked_callback(pair: Pair) -> None:
    stream, theirs = pair
    told: list[str] = []
    stream.on_parked_readable = lambda: told.append("parked")
    stream.parked = True
    theirs.sendall(b"abc")
    assert stream.receive_later() == b"abc"
    assert told == []


def test_data_that_nobody_reads_does_not_spin(pair: Pair) -> None:
    stream, theirs = pair
    theirs.sendall(b"a")
    assert stream.receive_later() == b"a"
    theirs.sendall(b"b")
    turns()
    assert not stream._reading
    began, used = time.monotonic(), time.process_time()
    gevent.sleep(0.1)
    assert time.process_time() - used < (time.monotonic() - began) / 2
    assert stream.receive_later() == b"b"


def test_an_abort_is_a_reset_for_the_peer(deadlines: Deadlines) -> None:
    listener = gevent.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    theirs = gevent.socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    raw = gevent.socket._socket.socket(fileno=accepted.detach())
    raw.setblocking(False)
    Stream(raw, deadlines).abort()
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)
    theirs.close()
    listener.close()


def test_a_closed_stream_is_forgotten(deadlines: Deadlines) -> None:
    with sockets() as (ours, _):
        stream = Stream(ours, deadlines)
        assert deadlines.streams == {stream}
        stream.close()
        assert not deadlines.streams
