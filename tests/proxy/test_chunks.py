"""The chunked coding: decoded as by a plain reading of the RFC, however it arrives, many chunks at a time."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ClientError
from lb.proxy.chunks import MOST_PADDING_BYTES, PIECE_CHUNKS, ChunkDecoder

HEX = b"0123456789abcdefABCDEF"
TEXT = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:" + TEXT.pattern)

Outcome = tuple[bytes, bytes, bytes] | str


def decode(*pieces: bytes) -> Outcome:
    """Return body, trailers and what is left of a body that comes in pieces; or how it fails."""
    decoder, data, body = ChunkDecoder(), b"", bytearray()
    try:
        for piece in pieces:
            data += piece
            while not decoder.ended:
                got, taken = decoder.decode(data)
                data = data[taken:]
                body += got
                if not got:
                    break
    except ClientError:
        return "malformed"
    return (bytes(body), decoder.trailers, data) if decoder.ended else "incomplete"


def plainly(data: bytes) -> Outcome:
    """Decode line by line, as one reads it in RFC 9112 §7.1."""
    body = b""
    while True:
        line, end, data = data.partition(b"\n")
        size = size_of(line) if end else -1
        if size is None:
            return "malformed"
        if size < 0:
            return "incomplete"
        if not size:
            return trailing(body, data)
        body += data[:size]
        if not b"\r\n".startswith(data[size : size + 2]):
            return "malformed"
        data = data[size + 2 :]


def trailing(body: bytes, data: bytes) -> Outcome:
    block, end, rest = (b"\r\n" + data).partition(b"\r\n\r\n")
    if not end:
        return "incomplete"
    if not all(FIELD.fullmatch(line) for line in block.split(b"\r\n")[1:]):
        return "malformed"
    return body, block, rest


def size_of(line: bytes) -> int | None:
    if not line.endswith(b"\r"):
        return None
    size, _, extension = line[:-1].partition(b";")
    digits = size.rstrip(b" \t")
    if len(size) - len(digits) > 16 or not digits or set(digits) - set(HEX) or len(extension) > 7900:
        return None
    if not TEXT.fullmatch(extension) or len(digits) > 255 + 15:
        return None
    number = int(digits, 16)
    return None if number >= 16**15 else number


lines = st.builds(
    lambda zeros, upper, extension: (b"0" * zeros + (b"%X" if upper else b"%x"), extension),
    st.sampled_from([0, 0, 0, 1, 14, 15, 16, 17, 40, 255]),
    st.booleans(),
    st.sampled_from([b"", b"", b"", b";", b";a=b", b" ", b"\t ;x", b';a="\xff"', b";" + b"x" * 300]),
)
chunks = st.builds(
    lambda line, data: line[0] % len(data) + line[1] + b"\r\n" + data + b"\r\n",
    lines,
    st.binary(min_size=1, max_size=20) | st.just(b"\r\n0\r\n\r\n"),
)
ends = st.builds(
    lambda line, trailers, behind: line[0] % 0 + line[1] + b"\r\n" + trailers + b"\r\n" + behind,
    lines,
    st.sampled_from([b"", b"X-A: 1\r\n", b"X-A: 1\r\nX-B: 2\r\n"]),
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"0\r\n\r\n"]),
)
bodies = st.builds(lambda chunks, end: b"".join(chunks) + end, st.lists(chunks, max_size=6), ends)
#: One edit: what is put in where, in place of how much.
edits = st.tuples(
    st.integers(0, 10**6),
    st.integers(0, 3),
    st.sampled_from([b"", b"\r", b"\n", b" ", b"0", b"1", b"-", b"+", b"0x", b";", b"_", b"\x00", b"\x0b"]),
)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(bodies, st.lists(edits, max_size=2), st.lists(st.integers(0, 10**6), max_size=12))
def test_it_reads_what_a_plain_reading_does(body: bytes, edits: list[Any], at: list[int]) -> None:
    for place, size, text in edits:
        start = place % (len(body) + 1)
        body = body[:start] + text + body[start + size :]
    expected = plainly(body)
    bytewise = [body[index : index + 1] for index in range(len(body))]
    for pieces in ([body], cut(body, at), bytewise):
        found = decode(*pieces)
        if expected == "incomplete":  # some faults show before the line's end
            assert found in ("incomplete", "malformed")
            assert found == "incomplete" or decode(body) == "malformed"
        else:
            assert found == expected


@pytest.mark.parametrize("size", [b"0" * 15 + b"2", b"0" * 16 + b"2", b"0" * 255 + b"2", b"0002", b"2"])
@pytest.mark.parametrize("extension", [b"", b";" + b"x" * 300, b";" + b"x" * 7900, b" ;a=b"])
def test_a_size_counts_by_its_value(size: bytes, extension: bytes) -> None:
    body = size + extension + b"\r\nab\r\n" + size[:-1] + b"0" + extension + b"\r\n\r\n"
    assert decode(body) == (b"ab", b"", b"")


@pytest.mark.parametrize("size", [b"fffffffffffffff", b"0" * 40 + b"fffffffffffffff"])
def test_the_largest_size_is_a_size(size: bytes) -> None:
    assert decode(size + b"\r\nabc") == "incomplete"
    assert decode(size + b"f\r\nabc") == "malformed"


@pytest.mark.parametrize(
    "begun", [b"z", b"-", b"+", b" 2", b"0x", b"1_", b"2;\x00", b"2\rx", b"\xd9\xa2", b"\r"]
)
@pytest.mark.parametrize("before", [b"", b"1\r\nx\r\n"])
def test_a_line_that_begins_wrong_is_malformed_before_its_end(before: bytes, begun: bytes) -> None:
    assert decode(before + begun) == "malformed"


@pytest.mark.parametrize("size", [8000, 9000, 30000])
def test_trailers_are_bounded_however_they_arrive(size: int) -> None:
    body = b"0\r\nX: " + b"y" * size + b"\r\n\r\n"
    whole, *in_pieces = decode(body), decode(*cut(body, [7000])), decode(*cut(body, [8300, 8900]))
    assert (whole == "malformed") == (size > 8192)
    assert in_pieces == [whole, whole]


def test_tiny_chunks_are_joined_and_so_many_at_most() -> None:
    count = 3 * PIECE_CHUNKS + 7
    data = b"1\r\nx\r\n" * count + b"0\r\n\r\n"
    decoder = ChunkDecoder()
    pieces = []
    while not decoder.ended:
        piece, taken = decoder.decode(data)
        data = data[taken:]
        pieces.append(len(piece))
        assert decoder.chunks == len(piece)
    assert pieces == [PIECE_CHUNKS] * 3 + [7]


def test_a_large_chunk_is_passed_on_as_it_comes_and_not_copied() -> None:
    decoder = ChunkDecoder()
    piece = b"x" * 262144
    assert decoder.decode(b"80000\r\n") == (b"", 7)
    for _ in range(2):
        got, taken = decoder.decode(piece)
        assert got is piece
        assert taken == len(piece)
    assert decoder.decode(b"\r\n1\r\n") == (b"", 5)


def test_extensions_do_not_outgrow_the_data() -> None:
    """Else a body within its limit could be any number of bytes."""
    padded = b"1;" + b"x" * 7000 + b"\r\nx\r\n"
    many = MOST_PADDING_BYTES // 7000 + 100
    assert decode(*[padded] * (MOST_PADDING_BYTES // 7100)) == "incomplete"
    assert decode(*[padded] * many) == "malformed"
    assert decode(*[b"1f40;" + b"x" * 7000 + b"\r\n" + b"x" * 8000 + b"\r\n"] * many) == "incomplete"
