"""A chunked response, decoded by the data plane's rules and not by the standard library's.

That reads each chunk with calls of its own, and looks neither at what ends a chunk nor at trailers.
"""

from __future__ import annotations

from http.client import IncompleteRead
from typing import Protocol

from lb.proxy.chunks import ChunkDecoder
from lb.wsgi.body import PIECE_BYTES


class _Source(Protocol):
    def read1(self, size: int, /) -> bytes:
        """Return what has arrived, once something has; nothing at the end."""


class ChunkedResponse:
    """The body of one response."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._decoder = ChunkDecoder()
        self._ahead = b""  # read, not decoded

    def read(self) -> bytes:
        """Return the next piece, nothing at the end; ClientError if malformed, IncompleteRead if cut off."""
        decoder = self._decoder
        while not decoder.ended:
            piece, taken = decoder.decode(self._ahead)
            self._ahead = self._ahead[taken:]
            if piece:
                return piece
            if decoder.ended:
                break
            data = self._source.read1(PIECE_BYTES)
            if not data:
                raise IncompleteRead(b"")
            self._ahead += data
        return b""
