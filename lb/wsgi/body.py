"""A request's body as a WSGI server provides it: read in pieces, never held in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lb.errors import ClientError
from lb.wsgi.turns import ReadSize

PIECE_BYTES = 65536


class Input(Protocol):
    """The part of `wsgi.input` that is used here."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""


class Body:
    """The body of a request, for all of its attempts. Up to `keep_bytes` of it are kept for a retry.

    `length` is None if the WSGI server ends the stream where the body ends, as it does with a chunked one.
    """

    def __init__(self, source: Input, length: int | None, *, keep_bytes: int, max_bytes: int) -> None:
        if max_bytes and (length or 0) > max_bytes:
            raise self._too_large(max_bytes)
        self._source = source
        self._left = length
        self._keep_bytes = keep_bytes
        self._max_bytes = max_bytes
        self._kept: list[bytes] | None = []
        self._size = ReadSize(PIECE_BYTES)
        self._read = 0

    @property
    def kept(self) -> bool:
        """Whether everything that was read so far can be sent again."""
        return self._kept is not None

    def pieces(self) -> Iterator[bytes]:
        """Yield the body from its start: what was kept, then the rest; ClientError if that breaks off."""
        yield from list(self._kept or ())
        while piece := self._next():
            yield piece

    def _next(self) -> bytes:
        if self._left == 0:
            return b""
        size = self._size.begin()
        try:
            piece = self._source.read(size if self._left is None else min(size, self._left))
            self._size.end()
        except TimeoutError:
            raise ClientError("the request's body came too slowly", 408) from None
        except (OSError, EOFError, ValueError) as error:
            raise ClientError(f"the request's body broke off: {error}") from None
        if not piece and self._left:
            raise ClientError("the request's body broke off")
        self._left = 0 if not piece else self._left if self._left is None else self._left - len(piece)
        self._read += len(piece)
        if self._max_bytes and self._read > self._max_bytes:
            raise self._too_large(self._max_bytes)
        if self._kept is not None and piece:
            self._kept.append(piece)
            if self._read > self._keep_bytes:
                self._kept = None
        return piece

    @staticmethod
    def _too_large(max_bytes: int) -> ClientError:
        return ClientError(f"the request's body is larger than {max_bytes} bytes", 413)
