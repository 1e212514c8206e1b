from __future__ import annotations

import io

import pytest

from lb.errors import ClientError
from lb.wsgi.body import PIECE_BYTES, Body


def body(data: bytes, length: int | None = None, keep: int = 10, most: int = 0) -> Body:
    return Body(io.BytesIO(data), length, keep_bytes=keep, max_bytes=most)


def test_no_more_is_read_than_its_length() -> None:
    source = io.BytesIO(b"abcdef")
    assert list(Body(source, 3, keep_bytes=0, max_bytes=0).pieces()) == [b"abc"]
    assert source.read() == b"def"


def test_a_short_one_can_be_sent_again() -> None:
    short = body(b"abc", 3)
    assert b"".join(short.pieces()) == b"".join(short.pieces()) == b"abc"
    assert short.kept


def test_what_was_sent_in_part_is_sent_again_from_its_start() -> None:
    chunked = body(bytes(PIECE_BYTES) + b"end", keep=2 * PIECE_BYTES)
    next(chunked.pieces())
    assert b"".join(chunked.pieces()) == bytes(PIECE_BYTES) + b"end"


def test_a_long_one_is_not_kept() -> None:
    long = body(bytes(3 * PIECE_BYTES))
    assert [len(piece) for piece in long.pieces()] == [PIECE_BYTES] * 3
    assert not long.kept


def test_one_that_breaks_off_is_the_clients_fault() -> None:
    with pytest.raises(ClientError, match="broke off"):
        list(body(b"ab", 3).pieces())


@pytest.mark.parametrize(("error", "status"), [(TimeoutError(), 408), (OSError(), 400), (ValueError(), 400)])
def test_what_the_server_raises_is_told(error: Exception, status: int) -> None:
    class Failing(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise error

    with pytest.raises(ClientError) as caught:
        list(Body(Failing(), None, keep_bytes=0, max_bytes=0).pieces())
    assert caught.value.status == status


def test_too_large_is_too_large_as_soon_as_it_is_known() -> None:
    with pytest.raises(ClientError) as caught:
        body(b"", length=11, most=10)
    assert caught.value.status == 413
    with pytest.raises(ClientError) as caught:
        list(body(bytes(11), most=10).pieces())
    assert caught.value.status == 413
