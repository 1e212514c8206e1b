"""Heads: they parse or are refused, always the same way, and h11 reads no other message in them."""

from __future__ import annotations

import h11

from lb.errors import ClientError, ServerError
from lb.proxy.headers import Fields
from lb.proxy.http1 import HeadParser

_COUNT = 100
_END = b"\r\n\r\n"

REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"POST /a?b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n",
    b"POST / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: gzip, chunked\r\nTransfer-Encoding: chunked\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close, X-Own, Upgrade\r\nUpgrade: h2c\r\nX-Own: 1\r\n",
    b"GET http://a.example:81/x HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 1.2.3.4\r\nTE: trailers\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nX-Request-Id: 1\r\n",
    b"GET /a#b HTTP/1.1\r\nHost: a:000080\r\nContent-Length: 00000000000000000000003, 03\r\n",
    b"TRACE / HTTP/2.0\r\n Host: a\r\nX : 1\r\nX\t: \x00\x0b\r\n\tfolded\r\nContent-Length: +5\r\n",
)
RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
    b"HTTP/1.0 304 \r\nConnection: keep-alive\r\nContent-Length: 5\r\nETag: x\r\n",
    b"HTTP/1.1 204 No\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n",
    b"HTTP/1.1 099 \x80\r\nContent-Length: 3\r\nContent-Length: 4\r\nTransfer-Encoding: identity\r\n",
)


def request_head(data: bytes) -> None:
    """Parse a request's head, then what would be forwarded of it."""
    head = _head(data)
    found = _twice(head, request=True)
    if found is None:
        return
    assert isinstance(found, tuple)
    method, target, fields = found
    _same_when_forwarded(b"%b %b HTTP/1.1" % (method, target), fields, request=True)
    other = _event(h11.Connection(h11.SERVER), head)
    if isinstance(other, h11.Request):
        assert other.method == method, other
        assert not head.split(b" ")[1].startswith(b"/") or other.target == target, other
        _same_framing(fields, other.headers)


def response_head(data: bytes) -> None:
    """Parse a response's head, then what would be forwarded of it."""
    head = _head(data)
    found = _twice(head, request=False)
    if found is None:
        return
    status, forward, fields = found
    assert forward.startswith(b"HTTP/1.1 %d" % status)
    assert _END not in forward + b"\r\n"
    if status < 200 or status == 204 or fields.framing_fault:
        return  # what it says of a body that it cannot have is not passed on
    _same_when_forwarded(b"HTTP/1.1 200 OK", fields, request=False)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    other = _event(client, head)
    if isinstance(other, h11.Response):
        assert other.status_code == status, other
        _same_framing(fields, other.headers)


def _head(data: bytes) -> bytes:
    """Return what the readers of connections give to the parser: all up to the first empty line."""
    return data.partition(_END)[0].removesuffix(b"\r\n") + _END


def _parse(parser: HeadParser, head: bytes, *, request: bool) -> tuple | None:  # type: ignore[type-arg]
    try:
        if request:
            asked = parser.request(head)
            return asked.method, asked.target, asked.fields
        told = parser.response(head)
    except ClientError:
        assert request, "a fault of the client in a response"
        return None
    except ServerError:
        assert not request, "a fault of the server in a request"
        return None
    return told.status, told.forward, told.fields


def _twice(head: bytes, *, request: bool) -> tuple | None:  # type: ignore[type-arg]
    """Parse with one parser twice: what is remembered means the same."""
    parser = HeadParser(_COUNT)
    first = _parse(parser, head, request=request)
    assert _parse(parser, head, request=request) == first, "the second reading differs"
    return first


def _same_when_forwarded(line: bytes, fields: Fields, *, request: bool) -> None:
    """What is passed on is one head, and says the same of its length and its host."""
    framing = b"\r\nTransfer-Encoding: chunked" if fields.chunked else b""
    host = b"\r\nHost: added" if request and fields.host is None else b""
    assert _END not in fields.forward + b"\r\n"
    again = _parse(HeadParser(_COUNT + 2), line + fields.forward + framing + host + _END, request=request)
    assert again is not None, "what is passed on is not sound"
    seen: Fields = again[2]
    assert (seen.content_length, seen.chunked) == (fields.content_length, fields.chunked)
    assert not seen.close
    assert not seen.upgrade
    assert host or seen.host == fields.host


def _same_framing(fields: Fields, headers: h11._headers.Headers) -> None:
    """The body that h11 expects is ours."""
    seen = dict(headers)
    assert fields.chunked == (b"transfer-encoding" in seen), headers
    length = seen.get(b"content-length")
    assert fields.content_length == (None if length is None else int(length)), headers


def _event(connection: h11.Connection, data: bytes) -> object:
    try:
        connection.receive_data(data)
        return connection.next_event()
    except h11.RemoteProtocolError:
        return None
