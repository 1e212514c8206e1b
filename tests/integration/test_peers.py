"""Messages of all shapes between a client and a server that h11 speaks for: what arrives is what was sent."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.fleet import Fleet
from tests.integration.h11_peers import NUMBER, H11Server, Headers, Message, exchange

#: Of one connection (RFC 9110 §7.6.1), or written by the balancer.
OWN = frozenset(
    b"connection date keep-alive te transfer-encoding upgrade via forwarded x-request-id x-forwarded-for"
    b" x-forwarded-proto x-forwarded-host x-forwarded-server".split()
)

_TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

names = st.text(_TOKEN, min_size=1, max_size=20).map(lambda name: b"X-" + name.encode())
values = st.text(_VISIBLE + " \t", max_size=60).map(lambda value: value.strip(" \t").encode())
headers = st.lists(st.tuples(names, values), max_size=8).map(tuple).filter(
    lambda fields: not {name.lower() for name, _ in fields} & (OWN | {NUMBER.lower()})
)  # fmt: skip
methods = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"M-SEARCH"])
targets = st.text(_VISIBLE.replace("#", ""), max_size=100).map(lambda path: b"/" + path.encode())
pieces = st.lists(st.binary(max_size=3000) | st.binary(min_size=1, max_size=20), max_size=6).map(tuple)
#: Neither those without a body, nor those that are retried.
statuses = st.sampled_from([200, 201, 206, 302, 404, 418, 500, 599])


@st.composite
def messages(draw: st.DrawFn, start: st.SearchStrategy[tuple[bytes, bytes] | int]) -> Message:
    chunked = draw(st.booleans())
    return Message(
        draw(start),
        draw(headers),
        draw(pieces),
        chunked=chunked,
        trailers=draw(headers) if chunked else (),
    )


requests = messages(st.tuples(methods, targets)) | st.builds(
    Message, st.tuples(methods, targets), headers=headers
)
answers = messages(statuses) | st.builds(Message, st.sampled_from([204, 304]), headers=headers)


@pytest.fixture
def server(plane: Fleet) -> Iterator[H11Server]:
    with H11Server() as server:
        plane.add(server)
        yield server
        plane.wait_idle()
        plane.reset()
    assert server.faults == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    exchanges=st.lists(st.tuples(requests, answers), min_size=1, max_size=6),
    seed=st.integers(min_value=0, max_value=2**32),
)
def test_what_arrives_is_what_was_sent(
    plane: Fleet, server: H11Server, exchanges: list[tuple[Message, Message]], seed: int
) -> None:
    numbers = [b"%d" % number for number in range(len(exchanges))]
    server.random.seed(seed)
    server.answers = dict(zip(numbers, (answer for _, answer in exchanges), strict=True))
    server.received.clear()
    host, _, port = plane.url.removeprefix("http://").rpartition(":")
    sent = [with_number(request, number) for (request, _), number in zip(exchanges, numbers, strict=True)]
    got = exchange((host, int(port)), sent, random.Random(seed))
    for number, request, (_, answer), response in zip(numbers, sent, exchanges, got, strict=True):
        received = server.received[number]
        assert received.start == request.start
        assert passed_on(received.headers) == passed_on(request.headers)
        assert (received.body, received.trailers) == (request.body, request.trailers)
        bodiless = request.start[0] == b"HEAD" or answer.start in (204, 304)  # type: ignore[index]
        assert response.start == answer.start
        assert passed_on(response.headers) == passed_on(answer.headers)
        assert response.body == (b"" if bodiless else answer.body)
        assert response.trailers == (() if bodiless else answer.trailers)


def with_number(request: Message, number: bytes) -> Message:
    """Return the request as a client sends it: to a host, and for a numbered answer."""
    fields = ((b"Host", b"a.example"), (NUMBER, number), *request.headers)
    return Message(request.start, fields, request.pieces, request.chunked, request.trailers)


def passed_on(fields: Headers) -> list[tuple[bytes, bytes]]:
    """Return fields in order and case, but for those of one connection, the balancer's, and the length."""
    return [(name, value) for name, value in fields if name.lower() not in OWN | {b"content-length"}]
