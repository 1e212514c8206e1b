"""Requests that were sent ahead: whether one of them is the last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.proxy.body import chunk, last_chunk
from lb.proxy.http1 import HeadParser
from lb.proxy.pipeline import announces_end
from tests.proxy.rig import GET

HEADS = HeadParser(100)
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

#: Requests after which a connection goes on; two of them hold what looks like another that ends it.
ONGOING = [
    GET,
    b"\r\n" + GET,
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    POST % (len(CLOSE), CLOSE),
    POST % (0, b""),
    CHUNKED + chunk(CLOSE) + chunk(b"\r\n\r\n") + last_chunk(b""),
    CHUNKED + b"003;x=y\r\nabc\r\n" + last_chunk(b"\r\nX-Sum: 1"),
]
LAST = [
    CLOSE,
    b"GET / HTTP/1.0\r\n\r\n",
    POST.replace(b"Host", b"Connection: close\r\nHost") % (3, b"abc"),
    POST.replace(b"Host", b"Connection: close\r\nHost") % (9, b"abc"),  # the head says it
    CHUNKED.replace(b"Host", b"Connection: close\r\nHost") + chunk(b"abc"),
]
#: What is no request, or none yet; what stands behind it does not count.
NONE = [
    b"",
    b"\r\n",
    CLOSE[:-2],
    b"GET /# HTTP/1.1\r\nHost: a\r\n\r\n" + CLOSE,
    b"\r\n\r\n" + CLOSE,
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" + CLOSE,
    POST % (1000, CLOSE),
    CHUNKED + b"5\r\nab" + CLOSE[:1],
    CHUNKED + b"xyz\r\n" + CLOSE,
    CHUNKED + b"0\r\nX: 1\r\n",
    CHUNKED + b"7fffffff\r\n" + CLOSE,
]


@given(st.lists(st.sampled_from(ONGOING), max_size=9), st.sampled_from(LAST), st.binary(max_size=20))
def test_the_last_request_is_found_behind_any_number_of_others(
    ahead: list[bytes], last: bytes, rest: bytes
) -> None:
    assert announces_end(b"".join([*ahead, last, rest]), HEADS)


@given(st.lists(st.sampled_from(ONGOING), max_size=9), st.sampled_from(NONE))
def test_nothing_else_is_taken_for_it(ahead: list[bytes], rest: bytes) -> None:
    assert not announces_end(b"".join([*ahead, rest]), HEADS)


@pytest.mark.parametrize("one", [*ONGOING, CHUNKED + chunk(b"a") * 20000 + last_chunk(b"")])
def test_as_many_as_are_read_ahead_are_looked_at(one: bytes) -> None:
    assert announces_end(one * (131072 // len(one)) + CLOSE, HEADS)
