"""A chunked response: the same however it arrives, and never longer than what was sent."""

from __future__ import annotations

import io
from http.client import IncompleteRead

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ClientError
from lb.wsgi.chunked import ChunkedResponse


class Pieces(io.BytesIO):
    """Gives no more than `step` bytes at once."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(self._step, size or 0))


def read(data: bytes, step: int) -> bytes:
    body = ChunkedResponse(Pieces(data, step))
    got = b"".join(iter(body.read, b""))
    assert body.read() == b""  # the end stays the end
    return got


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=8), st.integers(1, 50))
def test_it_is_read_however_it_arrives(pieces: list[bytes], step: int) -> None:
    framed = b"".join(b"%x;a\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    assert read(framed + b"0\r\nT: x\r\n\r\n", step) == b"".join(pieces)
    with pytest.raises(IncompleteRead):
        read(framed + b"0\r\nT: x\r\n", step)
    with pytest.raises(ClientError):
        read(framed + b"-1\r\n", step)
