"""Chunked bodies: however they are cut, they decode to the same, and to what h11 decodes."""

from __future__ import annotations

import random
from typing import cast

import h11

from lb.errors import ClientError
from lb.proxy.body import ChunkedBody, IncompleteBodyError
from lb.proxy.stream import Stream

SEEDS = (
    b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    b"A;x=y\r\n0123456789\r\n00\r\nX-Sum: 1\r\nHost: b\r\n\r\n",
    b"1\r\na\r\n1\r\nb\r\n1 ;a\r\nc\r\n000000000000000\r\n\r\n",
    b"ffffffffffffffff\r\n-1\r\n0x1\r\n1\nx\r\n2\r\nabc\r\n",
    b"0\r\nX: y\r\n folded\r\nX : 1\r\n\r\n",
)

_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

Outcome = tuple[str, bytes, bytes, bytes]  # what became of it, body, trailers, what is left


class Pieces:
    """Stands in for a stream: gives what a socket would, piece by piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.buffer = b""
        self.spent = 0
        self._pieces = pieces

    def take_turns(self) -> None:
        """Nobody else waits for one."""

    def receive(self, _size: int = 0) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    receive_later = receive

    def left(self) -> bytes:
        return self.buffer + b"".join(self._pieces)


def chunked_body(data: bytes) -> None:
    """Decode at once, byte by byte, and in other pieces; the first two bytes choose these."""
    rng, data = random.Random(data[:2]), data[2:]
    whole = decode([data])
    assert decode([data[at : at + 1] for at in range(len(data))]) == whole, "byte by byte it differs"
    assert decode(cut(data, rng)) == whole, "in pieces it differs"
    if whole[0] == "complete":
        _compare(data, whole)


def decode(pieces: list[bytes]) -> Outcome:
    """Decode a body that comes in pieces; of one that fails, only how it fails counts."""
    stream = Pieces([piece for piece in pieces if piece])
    body = ChunkedBody(cast("Stream", stream))
    got = b""
    try:
        while piece := body.read():
            got += piece
    except (ClientError, IncompleteBodyError) as error:
        return type(error).__name__, b"", b"", b""
    return "complete", got, body.trailers, stream.left()


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """Cut data into pieces, most of them small."""
    pieces = []
    while data:
        size = rng.choice((1, 2, 3, 5, 8, 50))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def _compare(data: bytes, ours: Outcome) -> None:
    server = h11.Connection(h11.SERVER)
    got = b""
    try:
        server.receive_data(_HEAD + data)
        while not isinstance(event := server.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return  # h11 sees no end: it is stricter about one line or another
            if isinstance(event, h11.Data):
                got += event.data
    except h11.RemoteProtocolError:
        return
    assert got == ours[1], "h11 reads another body"
    assert server.trailing_data[0] == ours[3], "h11 sees another end"
