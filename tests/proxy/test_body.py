"""Bodies: the same whichever way their bytes are cut."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ClientError
from lb.proxy.body import ChunkedBody, IncompleteBodyError, LengthBody, UntilCloseBody, chunk, last_chunk


class Pieces:
    """A stream that gives what it was given, piece by piece, and then its end."""

    def __init__(self, *pieces: bytes, buffer: bytes = b"") -> None:
        self.buffer = buffer
        self.pieces = list(pieces)
        self.spent = 0
        self.broken = False

    def take_turns(self) -> None:
        self.spent = 0

    def receive(self, size: int) -> bytes:
        while self.pieces:
            piece = self.pieces.pop(0)
            if piece:
                if len(piece) > size:
                    self.pieces.insert(0, piece[size:])
                return piece[:size]
        return b""


def everything(body: Any) -> bytes:
    data = b""
    while piece := body.read():
        data += piece
    assert body.read() == b""  # the end stays the end
    return data


def chunked(*pieces: bytes, buffer: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """Return data, trailers and what was left unread."""
    stream = Pieces(*pieces, buffer=buffer)
    body = ChunkedBody(cast("Any", stream))
    data = everything(body)
    return data, body.trailers, stream.buffer + b"".join(stream.pieces)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


cuts = st.lists(st.integers(0, 10**6), max_size=12)
extensions = st.sampled_from(
    [b"", b";a", b";a=b", b' ; a="b;c"', b';a="\xff"', b"\t;", b" " * 16, b";" + b"x" * 300]
)
chunks = st.lists(st.tuples(st.binary(min_size=1, max_size=40), extensions, st.booleans()), max_size=6)
trailers = st.sampled_from([b"", b"\r\nX: 1", b"\r\nX: 1\r\nY: 2"])


@given(chunks, trailers, cuts, st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"\r\n"]))
def test_chunks_are_read_however_they_arrive(
    chunks: list[tuple[bytes, bytes, bool]], trailers: bytes, at: list[int], behind: bytes
) -> None:
    sizes = [b"%X" if upper else b"%0200x" for _, _, upper in chunks]
    framed = b"".join(
        size % len(data) + extension + b"\r\n" + data + b"\r\n"
        for (data, extension, _), size in zip(chunks, sizes, strict=True)
    )
    buffer, *pieces = cut(framed + last_chunk(trailers) + behind, at)
    assert chunked(*pieces, buffer=buffer) == (b"".join(data for data, _, _ in chunks), trailers, behind)


@given(st.binary(max_size=200), cuts)
def test_any_bytes_are_a_body_or_an_error(data: bytes, at: list[int]) -> None:
    with suppress(ClientError, IncompleteBodyError):
        chunked(*cut(data, at))
    with suppress(ClientError, IncompleteBodyError):
        chunked(*cut(chunk(b"abc") + data, at))


@given(st.binary(min_size=1, max_size=100), cuts)
def test_an_end_before_the_end_is_told(data: bytes, at: list[int]) -> None:
    framed = chunk(data) + last_chunk(b"\r\nX: 1")
    for end in range(len(framed)):
        with pytest.raises(IncompleteBodyError):
            chunked(*cut(framed[:end], at))


@pytest.mark.parametrize("framed", [
    b"\r\n", b"\n", b"g\r\n", b"-1\r\n", b"+1\r\nx", b"0x1\r\nx", b"1 1\r\nx", b" 1\r\nx", b"1\nx\n",
    b"1" + b" " * 17 + b"\r\nx",
    b"1\nx", b"1;a\nx", b"1\rx",
    b"1_0\r\n",
    b"1000000000000000\r\n", b"01000000000000000\r\n", b"0" * 300 + b"1\r\nx", b"0" * 9000,
    b";a\r\n", b"1;\x00\r\nx", b"1;a\nb\r\nx", b"1;" + b"x" * 8000 + b"\r\nx", b"1;" + b"x" * 9000,
    b"1;\r\r\nx", b"\xb2\r\nxx",
])  # fmt: skip
def test_malformed_sizes_are_refused(framed: bytes) -> None:
    for pieces in ([framed + b"\r\n0\r\n\r\n"], [bytes([byte]) for byte in framed + b"\r\n0\r\n\r\n"]):
        with pytest.raises(ClientError):
            chunked(*pieces)
        with pytest.raises(ClientError):
            chunked(chunk(b"abc"), *pieces)


@pytest.mark.parametrize("end", [b"\n", b"X: 1\n\n", b"X: 1\r\nY: 2\n\r\n"])
def test_trailers_that_would_never_end_are_refused_at_once(end: bytes) -> None:
    for pieces in ([b"0\r\n" + end], [bytes([byte]) for byte in b"0\r\n" + end]):
        with pytest.raises(ClientError, match="trailer"):
            chunked(*pieces)


@pytest.mark.parametrize(
    "framed",
    [b"1\r\nxx\r\n", b"1\r\nx\n0\r\n\r\n", b"1\r\nx0\r\n\r\n", b"2\r\nx\r\n0\r\n\r\n", b"1\r\nx\rx0\r\n\r\n"],
)
def test_a_size_that_lies_is_refused(framed: bytes) -> None:
    with pytest.raises(ClientError):
        chunked(framed)


@pytest.mark.parametrize(
    "lines", [b" folded\r\n\r\n", b"X : 1\r\n\r\n", b"X\r\n\r\n", b"X: " + b"y" * 300000]
)
def test_malformed_or_endless_trailers_are_refused(lines: bytes) -> None:
    with pytest.raises(ClientError):
        chunked(b"0\r\n" + lines[:9000], lines[9000:])


def test_what_has_arrived_is_given_before_more_is_awaited() -> None:
    """Also when the last chunk is there and its trailers are not: a live stream must not lag."""
    behind = (b"", b"\r", b"\r\n", b"\r\n5", b"\r\n0\r\n", b"\r\n0\r\nX-Sum: ")
    for begun in (b"5\r\nabc", *(b"3\r\nabc" + more for more in behind)):
        body = ChunkedBody(cast("Any", Pieces(buffer=begun)))
        assert body.read() == b"abc"
        with pytest.raises(IncompleteBodyError):
            body.read()


def test_a_look_ahead_takes_what_is_there_and_awaits_nothing() -> None:
    stream = Pieces(b"f\r\n0\r\n\r\n", buffer=b"3\r\nabc\r\n3\r\nde")
    body = ChunkedBody(cast("Any", stream))
    assert body.read(wait=False) == b"abcde"
    assert body.read(wait=False) == b""
    assert body.read() == b"f"
    assert body.read(wait=False) == b"" == body.read()
    assert stream.pieces == []
    nothing = Pieces(b"3\r\nabc")
    assert ChunkedBody(cast("Any", nothing)).read(wait=False) == b""
    assert nothing.pieces == [b"3\r\nabc"]
    with pytest.raises(ClientError):
        ChunkedBody(cast("Any", Pieces(buffer=b"3\r\nabc\r\n-1\r\n"))).read(wait=False)


def test_chunks_of_one_byte_cost_no_more_than_their_number() -> None:
    def cost(count: int) -> float:
        began = time.process_time()
        assert chunked(buffer=chunk(b"x") * count + last_chunk(b""))[0] == b"x" * count
        return time.process_time() - began

    few = min(cost(4000) for _ in range(5))
    assert (
        min(cost(40_000) for _ in range(3)) < 40 * few
    )  # ten times as many; quadratic it would be a hundred times the cost


@given(st.binary(max_size=60), st.integers(0, 60), cuts)
def test_a_body_of_known_length_ends_there(data: bytes, length: int, at: list[int]) -> None:
    buffer, *pieces = cut(data, at)
    stream = Pieces(*pieces, buffer=buffer)
    body = LengthBody(cast("Any", stream), length)
    if length > len(data):
        with pytest.raises(IncompleteBodyError):
            everything(body)
    else:
        assert everything(body) == data[:length]
        assert stream.buffer + b"".join(stream.pieces) == data[length:]


@given(st.binary(max_size=60), cuts)
def test_a_body_without_a_length_is_all_that_comes(data: bytes, at: list[int]) -> None:
    buffer, *pieces = cut(data, at)
    assert everything(UntilCloseBody(cast("Any", Pieces(*pieces, buffer=buffer)))) == data


def test_a_body_without_a_length_that_ends_with_a_reset_is_not_whole() -> None:
    stream = Pieces(b"abc")
    body = UntilCloseBody(cast("Any", stream))
    assert body.read() == b"abc"
    stream.broken = True  # the writer was told
    with pytest.raises(IncompleteBodyError):
        body.read()


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), trailers)
def test_what_we_frame_reads_back(pieces: list[bytes], trailers: bytes) -> None:
    framed = b"".join(map(chunk, pieces)) + last_chunk(trailers)
    assert chunked(framed) == (b"".join(pieces), trailers, b"")
