"""The chunked coding, decoded (RFC 9112 §7.1). PURE: bytes in, bytes out.

Strict where leniency makes two readers disagree about where a body ends. Sizes are judged by value: leading
zeros, extensions and the blanks that some servers pad with change nothing, within bounds.

A peer chooses how large its chunks are, so each must cost little: those that are there are decoded in one
loop, 0.4 µs each, and passed on joined.
"""

from __future__ import annotations

import re
from typing import Final

from lb.errors import ClientError
from lb.proxy.http1 import has_bare_line_feed
from lb.proxy.trailers import parse_trailers

#: The longest line in front of a chunk; what the pattern accepts fits.
CHUNK_LINE_BYTES: Final = 8192
_LINE: Final = rb"(0{0,255}[0-9A-Fa-f]{1,15})[\t ]{0,16}(?:;[\t \x21-\x7e\x80-\xff]{0,7900}+)?\r\n"
#: RFC 9112 §7.1: hexadecimal size, extensions that nobody uses and we drop, CR LF. Some servers pad the size
#: with blanks, which h11, HAProxy and nginx overlook too.
CHUNK_LINE: Final = re.compile(_LINE)
_NEXT_CHUNK_LINE: Final = re.compile(rb"\r\n" + _LINE)  # with the end of the chunk before it
#: What may become such a line: what may not is malformed at once, before more of it comes.
_LINE_BEGUN: Final = re.compile(rb"(?:[0-9A-Fa-f]++[\t ]{0,16}(?:;[\t \x21-\x7e\x80-\xff]*+)?\r?)?")

#: The most chunks of one piece: they take 0.1 ms, or 0.2 ms if each has an extension of 250 bytes.
PIECE_CHUNKS: Final = 256

#: The bytes of a line that are free; what is beyond them, less the chunk's data, is padding.
_FREE_LINE_BYTES: Final = 64
#: The most padding of one body: extensions must not evade a limit on bodies.
MOST_PADDING_BYTES: Final = 16 << 20
_TRAILER_BYTES: Final = 8192


class ChunkDecoder:
    """Decodes one body, which may come in any pieces."""

    __slots__ = ("_left", "_line", "_padding", "chunks", "ended", "trailers")

    def __init__(self) -> None:
        self._line = CHUNK_LINE
        self._left = 0  # of the current chunk's data
        self._padding = 0
        self.chunks = 0  # of which the last piece was made
        self.ended = False
        self.trailers = b""  # known once it has ended; each with the CR LF before it

    def decode(self, data: bytes) -> tuple[bytes, int]:
        """Return the body's next piece and how many bytes of `data` it took; ClientError if malformed.

        `data` begins with what the last call did not take. A piece that is empty before the end: more is
        needed.
        """
        at = min(self._left, len(data))
        pieces = [data[:at]] if at else []
        self._left -= at
        if not self._left:
            at = self._decode(data, at, pieces)
        self.chunks = len(pieces)
        return b"".join(pieces), at

    def _decode(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Append the data of each chunk from `at` on; return how far they go."""
        end = len(data)
        match = self._line.match
        while len(pieces) < PIECE_CHUNKS:
            line = match(data, at)
            if line is None:
                self._check_line(data, at)
                break
            start = line.end()
            size = int(line[1], 16)
            if not size:
                return self._end(data, at, start - 2)
            if start - at > _FREE_LINE_BYTES:
                self._pad(start - at - _FREE_LINE_BYTES - size)
            at = start + size
            pieces.append(data[start:at])
            self._line = _NEXT_CHUNK_LINE
            match = _NEXT_CHUNK_LINE.match
            if at >= end:
                self._left = at - end
                return end
        return at

    def _check_line(self, data: bytes, at: int) -> None:
        """Raise ClientError if what there is of a line is not the beginning of a chunk's."""
        if self._line is _NEXT_CHUNK_LINE:
            if not b"\r\n".startswith(data[at : at + 2]):
                raise ClientError("a chunk does not end where its size says")
            at += 2
        if _LINE_BEGUN.fullmatch(data, at) is None or len(data) - at > CHUNK_LINE_BYTES:
            raise ClientError("malformed chunk size")

    def _pad(self, count: int) -> None:
        self._padding = max(0, self._padding + count)
        if self._padding > MOST_PADDING_BYTES:
            raise ClientError("more chunk extensions than data")

    def _end(self, data: bytes, at: int, start: int) -> int:
        """Read the end of the body if it is there: what follows the last chunk's size, from its CR LF on."""
        end = data.find(b"\r\n\r\n", start)
        if (end if end >= 0 else len(data)) - start > _TRAILER_BYTES:
            raise ClientError("trailer section too large")
        if end < 0:
            if has_bare_line_feed(data, start):
                raise ClientError("a trailer line does not end in CR LF")  # else they would never end
            return at
        self.trailers = parse_trailers(data[start : end + 4])
        self.ended = True
        return end + 4
