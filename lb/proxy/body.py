"""Message bodies: read by their framing, relayed piece by piece, never whole in memory (RFC 9112 §6, §7)."""

from __future__ import annotations

import re
from typing import Final

from lb.errors import ClientError
from lb.proxy.http1 import parse_trailers
from lb.proxy.stream import Stream

#: One receive of a long body; a larger one costs more cache than it saves calls.
PIECE_BYTES: Final = 262144

# RFC 9112 §7.1: hexadecimal size, extensions that nobody uses and we drop, CR LF and nothing else.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[\t ]*;[\t \x21-\x7e\x80-\xff]{0,255})?\r\n")
_CHUNK_LINE_BYTES = 280
_TRAILER_BYTES = 8192

LAST_CHUNK: Final = b"0\r\n\r\n"


class IncompleteBodyError(Exception):
    """The sender closed its connection before the body's end."""


class LengthBody:
    """A body of known length."""

    __slots__ = ("_left", "_stream")

    trailers = b""

    def __init__(self, stream: Stream, length: int) -> None:
        self._stream = stream
        self._left = length

    def read(self) -> bytes:
        """Return the next piece, empty at the end; IncompleteBodyError if the sender stops early."""
        if not self._left:
            return b""
        stream = self._stream
        if stream.buffer:
            piece = stream.buffer[: self._left]
            stream.buffer = stream.buffer[self._left :]
        else:
            piece = stream.receive(min(self._left, PIECE_BYTES))
            if not piece:
                raise IncompleteBodyError
        self._left -= len(piece)
        return piece


class UntilCloseBody:
    """A response body that ends with the server's connection (RFC 9112 §6.3, 8)."""

    __slots__ = ("_stream",)

    trailers = b""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self) -> bytes:
        """Return the next piece, empty at the end."""
        stream = self._stream
        if stream.buffer:
            piece, stream.buffer = stream.buffer, b""
            return piece
        return stream.receive(PIECE_BYTES)


class ChunkedBody:
    """A chunked body: the pieces are data alone, joined as far as they have arrived."""

    __slots__ = ("_chunk_left", "_ended", "_first", "_stream", "trailers")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._chunk_left = 0  # of the current chunk's data
        self._first = True
        self._ended = False
        self.trailers = b""  # known once the end was read

    def read(self) -> bytes:
        """Return the next piece, empty at the end; IncompleteBodyError, or ClientError if it is malformed."""
        pieces: list[bytes] = []
        while not self._ended:
            if not self._chunk_left and not self._next_chunk(wait=not pieces):
                break
            if self._ended:
                break
            data = self._stream.buffer
            if not data:
                if pieces:
                    break
                data = self._receive()
            piece = data[: self._chunk_left]
            self._stream.buffer = data[self._chunk_left :]
            self._chunk_left -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _next_chunk(self, *, wait: bool) -> bool:
        """Read a chunk's size line (and the end of the chunk before it); False if it is not there yet."""
        start = 0 if self._first else 2
        stream = self._stream
        while True:
            data = stream.buffer
            if start and not b"\r\n".startswith(data[:2]):
                raise ClientError("a chunk does not end where its size says")
            match = _CHUNK_LINE.match(data, start)
            if match:
                break
            if b"\n" in data[start:] or len(data) > _CHUNK_LINE_BYTES:
                raise ClientError("malformed chunk size")
            if not wait:
                return False
            stream.buffer = data + self._receive()
        self._first = False
        self._chunk_left = int(match[1], 16)
        if self._chunk_left:
            stream.buffer = data[match.end() :]
        else:
            self._read_trailers(match.end() - 2)
        return True

    def _read_trailers(self, start: int) -> None:
        stream = self._stream
        while (end := stream.buffer.find(b"\r\n\r\n", start)) < 0:
            if len(stream.buffer) - start > _TRAILER_BYTES:
                raise ClientError("trailer section too large")
            stream.buffer += self._receive()
        self.trailers = parse_trailers(stream.buffer[start : end + 4])
        stream.buffer = stream.buffer[end + 4 :]
        self._ended = True

    def _receive(self) -> bytes:
        data = self._stream.receive(PIECE_BYTES)
        if not data:
            raise IncompleteBodyError
        return data


Body = LengthBody | ChunkedBody | UntilCloseBody


def chunk(data: bytes) -> bytes:
    """Frame a piece as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes) -> bytes:
    """End a chunked body; `trailers` are lines, each with its CR LF before it."""
    return b"0%b\r\n\r\n" % trailers if trailers else LAST_CHUNK
