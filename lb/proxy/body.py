"""Message bodies: read by their framing, relayed piece by piece, never whole in memory (RFC 9112 §6, §7)."""

from __future__ import annotations

import re
from typing import Final

from lb.errors import ClientError
from lb.proxy.http1 import has_bare_line_feed
from lb.proxy.stream import Stream
from lb.proxy.trailers import parse_trailers

#: One receive of a long body; a larger one costs more cache than it saves calls.
PIECE_BYTES: Final = 262144

# RFC 9112 §7.1: hexadecimal size, extensions that nobody uses and we drop, CR LF. Some servers pad the size
# with blanks, which h11, HAProxy and nginx overlook too.
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[\t ]{0,16}(?:;[\t \x21-\x7e\x80-\xff]{0,255})?\r\n")
CHUNK_LINE_BYTES: Final = 300
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

    @property
    def complete(self) -> bool:
        """Whether all of it was read."""
        return not self._left

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
    complete = False  # as far as is known before its end was read

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
    """A chunked body: the pieces are data alone, joined as far as they have arrived.

    What was read is cut off the stream's buffer once per piece: cutting at each chunk took 300 ms for a
    buffer full of chunks of one byte.
    """

    __slots__ = ("_at", "_chunk_left", "_ended", "_first", "_stream", "trailers")

    complete = False  # as far as is known before its end was read

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._at = 0  # how far the stream's buffer is read
        self._chunk_left = 0  # of the current chunk's data
        self._first = True
        self._ended = False
        self.trailers = b""  # known once the end was read

    def read(self, *, wait: bool = True) -> bytes:
        """Return the next piece, empty at the end; IncompleteBodyError, or ClientError if it is malformed.

        Without `wait` it is what has arrived, which may be nothing before the end too.
        """
        pieces: list[bytes] = []
        while not self._ended:
            if not self._chunk_left:
                if not self._next_chunk(wait=wait and not pieces):
                    break
                continue
            data = self._stream.buffer
            if self._at == len(data):
                if pieces or not wait:
                    break
                data = self._receive()
            piece = data[self._at : self._at + self._chunk_left]
            self._at += len(piece)
            self._chunk_left -= len(piece)
            pieces.append(piece)
        self._cut()
        return b"".join(pieces)

    def _next_chunk(self, *, wait: bool) -> bool:
        """Read a chunk's size line (and the end of the chunk before it); False if it is not there yet."""
        while True:
            data = self._stream.buffer
            start = self._at
            if not self._first:
                if not b"\r\n".startswith(data[start : start + 2]):
                    raise ClientError("a chunk does not end where its size says")
                start += 2
            match = CHUNK_LINE.match(data, start)
            if match:
                break
            if data.find(b"\n", start) >= 0 or len(data) - self._at > CHUNK_LINE_BYTES:
                raise ClientError("malformed chunk size")
            if not wait:
                return False
            self._receive()
        size = int(match[1], 16)
        if not size:
            return self._read_trailers(match.end() - 2, wait=wait)
        self._first = False
        self._chunk_left = size
        self._at = match.end()
        return True

    def _read_trailers(self, start: int, *, wait: bool) -> bool:
        """Read the end of the body, which starts at the CR LF of the last chunk's line."""
        while (end := self._stream.buffer.find(b"\r\n\r\n", start)) < 0:
            if len(self._stream.buffer) - start > _TRAILER_BYTES:
                raise ClientError("trailer section too large")
            if has_bare_line_feed(self._stream.buffer, start):
                raise ClientError("a trailer line does not end in CR LF")  # else they would never end
            if not wait:
                return False
            start -= self._at
            self._receive()
        self.trailers = parse_trailers(self._stream.buffer[start : end + 4])
        self._at = end + 4
        self._ended = True
        return True

    def _receive(self) -> bytes:
        """Wait for more; return all that is there and not read yet."""
        self._cut()
        data = self._stream.receive(PIECE_BYTES)
        if not data:
            raise IncompleteBodyError
        self._stream.buffer += data
        return self._stream.buffer

    def _cut(self) -> None:
        if self._at:
            self._stream.buffer = self._stream.buffer[self._at :]
            self._at = 0


Body = LengthBody | ChunkedBody | UntilCloseBody


def chunk(data: bytes) -> bytes:
    """Frame a piece as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes) -> bytes:
    """End a chunked body; `trailers` are lines, each with its CR LF before it."""
    return b"0%b\r\n\r\n" % trailers if trailers else LAST_CHUNK
