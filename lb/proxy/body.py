"""Message bodies: read by their framing, relayed piece by piece, never whole in memory (RFC 9112 §6, §7)."""

from __future__ import annotations

from typing import Final

from lb.proxy.chunks import ChunkDecoder
from lb.proxy.fairness import MESSAGE_COST
from lb.proxy.stream import Stream

#: One receive of a long body; a larger one costs more cache than it saves calls.
PIECE_BYTES: Final = 262144

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
        piece = stream.receive(PIECE_BYTES)
        if not piece and stream.broken:
            raise IncompleteBodyError  # the writer got its reset: this is no regular end
        return piece


class ChunkedBody:
    """A chunked body: the pieces are data alone, joined as far as they have arrived."""

    __slots__ = ("_decoder", "_stream")

    complete = False  # as far as is known before its end was read

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = ChunkDecoder()

    @property
    def trailers(self) -> bytes:
        """The lines behind it, known once the end was read."""
        return self._decoder.trailers

    def read(self, *, wait: bool = True) -> bytes:
        """Return the next piece, empty at the end; IncompleteBodyError, or ClientError if it is malformed.

        Without `wait` it is what has arrived, which may be nothing before the end too.
        """
        stream, decoder = self._stream, self._decoder
        if stream.buffer:
            stream.take_turns()
        while not decoder.ended:
            piece, taken = decoder.decode(stream.buffer)
            stream.buffer = stream.buffer[taken:]
            if piece:
                stream.spent += decoder.chunks * MESSAGE_COST
                return piece
            if decoder.ended or not wait:
                break
            data = stream.receive(PIECE_BYTES)
            if not data:
                raise IncompleteBodyError
            stream.buffer += data
        return b""


Body = LengthBody | ChunkedBody | UntilCloseBody


def chunk(data: bytes) -> bytes:
    """Frame a piece as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes) -> bytes:
    """End a chunked body; `trailers` are lines, each with its CR LF before it."""
    return b"0%b\r\n\r\n" % trailers if trailers else LAST_CHUNK
