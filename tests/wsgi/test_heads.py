"""Heads are read whole, each within its time, and nothing of what follows them is taken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import RemoteDisconnected

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ServerError
from lb.proxy.http1 import HeadParser, ResponseHead
from lb.wsgi.heads import HeadReader

PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Send = Callable[[bytes], bool]
Serve = Callable[[Send], object]


@contextmanager
def reading(serve: Serve, *, seconds: float = 5.0) -> Iterator[tuple[HeadReader, socket.SocketIO]]:
    """A reader of what `serve` sends, which runs in a thread and ends the connection when it returns."""
    ours, theirs = socket.socketpair()
    done = threading.Event()

    def send(data: bytes, pause: float = 0.0) -> bool:
        with suppress(OSError):
            theirs.sendall(data)
        return not done.wait(pause) if pause else not done.is_set()

    def play() -> None:
        with theirs:
            serve(send)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        with ours, ours.makefile("rb") as stream:
            yield HeadReader(stream, ours, head_bytes=1000, seconds=seconds), stream  # type: ignore[misc]
    finally:
        done.set()
        thread.join()


def read(reader: HeadReader, method: bytes = b"GET") -> tuple[ResponseHead, bool]:
    return reader.read(HeadParser(100), method)


@given(
    interim=st.integers(0, 40), cuts=st.lists(st.integers(1, 30), max_size=30), body=st.binary(max_size=50)
)
def test_however_it_is_cut_the_head_is_read_and_the_body_left(
    interim: int, cuts: list[int], body: bytes
) -> None:
    data, pieces = PROCESSING * interim + OK + body, []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    with reading(lambda send: [send(piece) for piece in [*pieces, data]]) as (reader, stream):
        head, certain = read(reader)
        assert (head.status, head.fields.content_length, certain) == (200, 2, True)
        assert stream.read() == body
        assert reader.heard


def test_each_interim_response_is_a_sign_of_life() -> None:
    def processing(send: Callable[[bytes, float], bool]) -> None:
        for _ in range(8):
            send(PROCESSING, 0.1)
        send(OK, 0)

    with reading(processing, seconds=0.4) as (reader, _):  # type: ignore[arg-type]
        assert read(reader)[0].status == 200


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", PROCESSING), (PROCESSING, PROCESSING), (b"", b"H"), (PROCESSING, b"H"), (OK[:-2] + b"X: ", b"x")],
)
def test_what_only_drips_is_a_silence(first: bytes, drop: bytes) -> None:
    """A socket's time-out would begin again with each byte; interim responses do not renew it for ever."""

    def dripping(send: Callable[[bytes, float], bool]) -> None:
        send(first, 0.001)
        while send(drop, 0.01):
            pass

    with reading(dripping, seconds=0.06) as (reader, _):  # type: ignore[arg-type]
        with pytest.raises((TimeoutError, ServerError)):
            read(reader)


@pytest.mark.parametrize(("said", "error"), [
    (b"", RemoteDisconnected), (PROCESSING, RemoteDisconnected), (b"H", ServerError), (OK[:-1], ServerError),
    (OK[:-2] + b"X: " + b"x" * 1000, ServerError),
    (OK[:-2] + b"X: " + b"x" * 1000 + b"\r\n\r\n", ServerError),
    (OK.replace(b"\r\n", b"\n"), ServerError), (PROCESSING * 20000 + OK, ServerError),
    (b"HTTP/1.1 101 No\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", ServerError),
    (CHUNKED + b"xyz\r\n", ServerError), (CHUNKED + b"2\r\nabc\r\n", ServerError),
])  # fmt: skip
def test_what_is_no_answer(said: bytes, error: type[Exception]) -> None:
    with reading(lambda send: send(said)) as (reader, _):
        with pytest.raises(error):
            read(reader)
        assert reader.heard == bool(said)


@pytest.mark.parametrize("body", [b"", b"2", b"2\r\n", b"2\r\na", b"2\r\nab\r\n0\r\n\r\n"])
def test_a_body_that_has_begun_is_no_reason_to_wait(body: bytes) -> None:
    with reading(lambda send: send(CHUNKED + body)) as (reader, stream):
        assert read(reader)[0].fields.chunked
        assert stream.read() == body


def test_a_body_that_must_not_be_is_not_looked_at() -> None:
    with reading(lambda send: send(CHUNKED + b"xyz\r\n")) as (reader, _):
        assert read(reader, b"HEAD")[0].status == 200


@pytest.mark.parametrize(("interim", "certain"), [
    (PROCESSING, True), (PROCESSING[:-2] + b"Content-Length: 5\r\n\r\n", False),
    (PROCESSING[:-2] + b"Content-Length: x\r\n\r\n", False),
])  # fmt: skip
def test_an_interim_response_that_claims_a_body_makes_the_connections_end_uncertain(
    interim: bytes, certain: bool
) -> None:
    with reading(lambda send: send(interim + PROCESSING + OK)) as (reader, _):
        head, found = read(reader)
        assert (head.status, found) == (200, certain)
