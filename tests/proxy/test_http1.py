"""Heads: what is let through, what is not, and that what is has one meaning."""

from __future__ import annotations

import re
import string
from contextlib import suppress

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ClientError, ServerError
from lb.proxy.http1 import HeadParser, Request, has_bare_line_feed
from lb.proxy.trailers import parse_trailers

HEADER_COUNT = 20


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bool = True) -> Request:
    own = (b"Host: a",) if host else ()
    return HeadParser(HEADER_COUNT).request(b"\r\n".join([first, *own, *lines, b"", b""]))


def refused(*lines: bytes, first: bytes = b"GET / HTTP/1.1", host: bool = True) -> int:
    """Return the status that a head is refused with."""
    with pytest.raises(ClientError) as caught:
        request(*lines, first=first, host=host)
    return caught.value.status


@pytest.mark.parametrize("first", [
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.0",
    b"OPTIONS * HTTP/1.1",
    b"M-SEARCH!#$%&'*+-.^_`|~ /a?b=c&d=%20;{}|\\^[]\"<> HTTP/1.1",
    b"GET /caf\xc3\xa9 HTTP/1.1",
])  # fmt: skip
def test_sound_request_lines_are_taken_as_they_are(first: bytes) -> None:
    found = request(first=first)
    assert b"%b %b HTTP/1.%d" % (found.method, found.target, found.minor) == first


@pytest.mark.parametrize("first", [
    b"",
    b"GET",
    b"GET /",
    b"GET  / HTTP/1.1",
    b"GET / HTTP/1.1 ",
    b" GET / HTTP/1.1",
    b"GET\t/\tHTTP/1.1",
    b"GET / http/1.1",
    b"GET /a b HTTP/1.1",
    b"GET /a\tb HTTP/1.1",
    b"GET /\x00 HTTP/1.1",
    b"GET /\x7f HTTP/1.1",
    b"GET /\r HTTP/1.1",
    b"GET /\n HTTP/1.1",
    b"GET / HTTP/1.1\n",
    b"G(T / HTTP/1.1",
    b"GET / HTTP/11",
    b"GET / HTTP/1.12",
    b"GET / HTTP/1.",
    b"GET /# HTTP/1.1",
    b"GET /a#b HTTP/1.1",
    b"GET /?a#b HTTP/1.0",
    b"GET # HTTP/1.1",
    b"GET http://a/#b HTTP/1.1",
    b"GET http://a#b HTTP/1.1",
    b"OPTIONS *# HTTP/1.1",
    b"CONNECT a:80# HTTP/1.1",
    b"GET / HTTP/\xb9.1",
    b"HTTP/1.1 200 OK",
    b"\x16\x03\x01\x02\x00\x01\x00\x01",
])  # fmt: skip
def test_malformed_request_lines_are_refused(first: bytes) -> None:
    assert refused(first=first) == 400


def test_a_later_minor_version_is_read_as_1_1() -> None:
    """RFC 9110 §6.2: what is new in it is optional."""
    assert request(first=b"GET / HTTP/1.9").minor == 1
    found = HeadParser(HEADER_COUNT).response(b"HTTP/1.2 200 OK\r\n\r\n")
    assert (found.minor, found.keep_alive) == (1, True)
    assert found.forward == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("version", [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/3"])
def test_other_versions_are_505(version: bytes) -> None:
    assert refused(first=b"GET / " + version) == 505


@pytest.mark.parametrize("line", [
    b"X : 1",
    b"X\t: 1",
    b" X: 1",
    b"\tX: 1",
    b": 1",
    b"X",
    b"",
    b"X: 1\r\n folded",
    b"X: 1\r\n\tfolded",
    b"X: a\rb",
    b"X: a\nb",
    b"X: a\r\r",
    b"X: 1\nY: 2",
    b"X: a\x00b",
    b"X: a\x08b",
    b"X: a\x7fb",
    b"X\x00: 1",
    b"X(y): 1",
    b"X\xe9: 1",
    b"X\r: 1",
    b"Transfer-Encoding\x0b: chunked",
    b"Content-Length\x00: 5",
])  # fmt: skip
def test_malformed_fields_are_refused_on_both_sides(line: bytes) -> None:
    assert refused(line, b"Last: 1") == 400
    assert refused(line, b"Host: a", host=False) == 400
    with pytest.raises(ServerError):
        HeadParser(HEADER_COUNT).response(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nLast: 1\r\n\r\n")


def test_values_may_hold_bytes_beyond_ascii() -> None:
    """RFC 9110 §5.5: they are passed on, whatever they mean."""
    line = b"X-City: K\xc3\xb6ln \xff"
    assert request(line).fields.forward.endswith(b"\r\n" + line)
    found = HeadParser(HEADER_COUNT).response(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
    assert found.forward.endswith(b"\r\n" + line)


SMUGGLING = [
    (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    (b"Content-Length: 5", b"Content-Length: 6"),
    (b"Content-Length: 5, 6",),
    (b"Content-Length: 5,",),
    (b"Content-Length: ,5",),
    (b"Content-Length: +5",),
    (b"Content-Length: -5",),
    (b"Content-Length: 0x5",),
    (b"Content-Length: 5.0",),
    (b"Content-Length: 1_0",),
    (b"Content-Length: 5 5",),
    (b"Content-Length: \xb2",),
    (b"Content-Length: ",),
    (b"Content-Length:",),
    (b"Content-Length: 9999999999999999999",),
    (b"Content-Length: 18446744073709551621",),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    (b"Transfer-Encoding: chunked, identity",),
    (b"Transfer-Encoding: chunked, chunked",),
    (b"Transfer-Encoding: chunked , chunked",),
    (b"Transfer-Encoding: chunked,",),
    (b"Transfer-Encoding: ,chunked",),
    (b'Transfer-Encoding: "chunked"',),
    (b"Transfer-Encoding: chunked;q=1",),
    (b"Transfer-Encoding: chunked chunked",),
    (b"Transfer-Encoding: identity",),
    (b"Transfer-Encoding: gzip",),
    (b"Transfer-Encoding: xchunked",),
    (b"Transfer-Encoding:",),
]


@pytest.mark.parametrize("lines", SMUGGLING)
def test_what_two_readers_could_frame_differently_is_refused(lines: tuple[bytes, ...]) -> None:
    assert refused(*lines, first=b"POST / HTTP/1.1") == 400
    with pytest.raises(ServerError):
        HeadParser(HEADER_COUNT).response(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""]))


def test_another_coding_before_chunked_is_501() -> None:
    assert refused(b"Transfer-Encoding: gzip, chunked", first=b"POST / HTTP/1.1") == 501
    with pytest.raises(ServerError):
        HeadParser(HEADER_COUNT).response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")


def test_chunked_is_not_for_http_1_0() -> None:
    assert refused(b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0") == 400
    with pytest.raises(ServerError):
        HeadParser(HEADER_COUNT).response(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize("lines", [
    (b"Content-Length: 5",),
    (b"content-LENGTH:5",),
    (b"Content-Length: \t 5 \t",),
    (b"Content-Length: 005",),
    (b"Content-Length: 5", b"X: 1", b"Content-Length: 5"),
    (b"Content-Length: 5, 5",),
    (b"Content-Length: 5", b"Content-Length: 5, 5"),
    (b"Content-Length: 0000000000000000000005",),
    (b"Content-Length: " + b"0" * 5000 + b"5",),
    (b"Content-Length: 5, 0005", b"Content-Length: 05"),
])  # fmt: skip
def test_one_length_however_often_it_is_said_is_forwarded_once(lines: tuple[bytes, ...]) -> None:
    fields = request(*lines, b"Host: a", host=False).fields
    assert fields.content_length == 5
    assert fields.forward.endswith(b"\r\nHost: a")
    assert fields.forward.lower().count(b"content-length") == 1
    assert not {b",", b"05"} & set(re.findall(rb",|05", fields.forward))  # nobody behind us counts digits


@pytest.mark.parametrize("zeros", [1, 15, 16, 17, 18, 19, 20, 400, 5000])
def test_a_length_of_zeros_is_none(zeros: int) -> None:
    fields = request(b"Content-Length: " + b"0" * zeros).fields
    assert (fields.content_length, fields.framing_fault) == (0, "")
    assert fields.forward.endswith(b"\r\nContent-Length: 0")


@given(value=st.integers(0, 10**18 - 1), zeros=st.integers(0, 40))
def test_numbers_are_judged_by_value(value: int, zeros: int) -> None:
    digits = b"0" * zeros + b"%d" % value
    fields = request(b"Content-Length: " + digits).fields
    assert (fields.content_length, fields.framing_fault) == (value, "")
    assert fields.forward.endswith(b"Content-Length: %d" % value)
    with suppress(ClientError):
        assert request(b"Host: a:" + digits, host=False).fields.host == b"a:" + digits
        assert value < 65536


def test_a_body_may_be_larger_than_any_disk() -> None:
    assert request(b"Content-Length: 999999999999999999").fields.content_length == 10**18 - 1


@pytest.mark.parametrize("line", [
    b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED", b"Transfer-Encoding: \tChunked \t"
])  # fmt: skip
def test_chunked_is_known_in_any_case(line: bytes) -> None:
    fields = request(line, first=b"POST / HTTP/1.1").fields
    assert fields.chunked
    assert b"ransfer" not in fields.forward


@pytest.mark.parametrize("host", [b"", b"a", b"a:80", b"a:", b"[::1]:80", b"[::1]", b"a_b.c", b"%41",
    b"a:0", b"a:00000", b"a:65535", b"a:000000000000000000080", b"[::1]:0065535"])  # fmt: skip
def test_sound_hosts_are_taken(host: bytes) -> None:
    assert request(b"Host: " + host, host=False).fields.host == host


@pytest.mark.parametrize(
    "host", [b"a b", b"[]", b"a/b", b"u@a", b"a:b", b"a:123456", b"[::1", b"a, b", b"a\\b", b"\xe9",
    b"a:65536", b"a:99999", b"a:0065536", b"a:-1", b"a:+1", b"a:8 0", b"a:80:80"]
)  # fmt: skip
def test_malformed_hosts_are_refused(host: bytes) -> None:
    assert refused(b"Host: " + host, host=False) == 400


def test_a_request_has_exactly_one_host() -> None:
    assert refused(host=False) == 400
    assert refused(b"Host: a") == 400
    assert refused(b"Host: b") == 400
    assert request(host=False, first=b"GET / HTTP/1.0").fields.host is None


def test_too_many_fields_are_431() -> None:
    lines = [b"X%d: 1" % number for number in range(HEADER_COUNT)]
    assert request(*lines[1:])
    assert refused(*lines) == 431
    with pytest.raises(ServerError):
        HeadParser(HEADER_COUNT).response(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"X: 1", b"", b""]))


@pytest.mark.parametrize(("minor", "connection", "keeps"), [
    (1, b"", True),
    (1, b"close", False),
    (1, b"keep-alive", True),
    (1, b"Keep-Alive, CLOSE", False),
    (0, b"", False),
    (0, b"keep-alive", True),
    (0, b"KEEP-alive", True),
    (0, b"keep-alive, close", False),
])  # fmt: skip
def test_which_connections_are_kept(minor: int, connection: bytes, keeps: bool) -> None:
    found = request(b"Connection: " + connection, first=b"GET / HTTP/1.%d" % minor)
    assert found.keep_alive is keeps
    head = b"HTTP/1.%d 200 OK\r\nConnection: %b\r\n\r\n" % (minor, connection)
    assert HeadParser(HEADER_COUNT).response(head).keep_alive is keeps


@pytest.mark.parametrize(
    "line",
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/1.1 404 ", b"HTTP/1.1 999 No", b"HTTP/1.1 299 \xe9t\t!"],
)
def test_sound_status_lines_are_taken(line: bytes) -> None:
    assert HeadParser(HEADER_COUNT).response(line + b"\r\n\r\n").forward == b"HTTP/1.1 " + line[9:]


@pytest.mark.parametrize("line", [
    b"", b"HTTP/1.1", b"HTTP/1.1 20", b"HTTP/1.1 2000", b"HTTP/1.1 200OK", b"HTTP/1.1  200 OK", b"HTTP/2 200",
    b"http/1.1 200 OK", b"HTTP/1.1 099 x", b"HTTP/1.1 200 a\x00", b"HTTP/1.1 200 a\rb", b"ICY 200 OK",
])  # fmt: skip
def test_malformed_status_lines_are_refused(line: bytes) -> None:
    with pytest.raises(ServerError):
        HeadParser(HEADER_COUNT).response(line + b"\r\n\r\n")


@pytest.mark.parametrize(("method", "status", "has_body"), [
    (b"GET", 200, True), (b"GET", 204, False), (b"GET", 304, False),
    (b"HEAD", 200, False), (b"GET", 205, True), (b"GET", 404, True),
])  # fmt: skip
def test_which_responses_have_a_body(method: bytes, status: int, has_body: bool) -> None:
    head = HeadParser(HEADER_COUNT).response(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status)
    assert head.has_body(method) is has_body


def test_what_was_seen_before_means_the_same() -> None:
    parser = HeadParser(HEADER_COUNT)
    head = b"POST /%d HTTP/1.1\r\nHost: a\r\nConnection: x\r\nX: 1\r\nContent-Length: 3, 3\r\n\r\n"
    first, second = parser.request(head % 1), parser.request(head % 2)
    assert (first.target, second.target) == (b"/1", b"/2")
    assert first.fields == second.fields == HeadParser(HEADER_COUNT).request(head % 2).fields
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    assert parser.response(answer) == parser.response(answer) == HeadParser(HEADER_COUNT).response(answer)


def test_what_was_seen_before_is_not_read_again() -> None:
    parser = HeadParser(HEADER_COUNT)
    blocks = [b"\r\nHost: a\r\nX: %d\r\n\r\n" % number for number in range(100)]

    def read() -> list[object]:
        fields = [parser.request(b"GET / HTTP/1.1" + block).fields for block in blocks]
        return [*fields, *(parser.response(b"HTTP/1.1 200 OK" + block) for block in blocks)]

    assert all(first is second for first, second in zip(read(), read(), strict=True))


def test_a_bad_head_stays_bad_when_it_comes_again() -> None:
    parser = HeadParser(HEADER_COUNT)
    for _ in range(3):
        with pytest.raises(ClientError):
            parser.request(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        with pytest.raises(ServerError):
            parser.response(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
    block = b"\r\nContent-Length: 5\r\n\r\n"
    assert parser.request(b"GET / HTTP/1.0" + block)
    with pytest.raises(ClientError):
        parser.request(b"GET / HTTP/1.1" + block)


def test_what_is_remembered_is_bounded() -> None:
    parser = HeadParser(HEADER_COUNT)
    for number in range(3000):
        parser.request(b"GET / HTTP/1.1\r\nHost: a\r\nX: %d\r\n\r\n" % number)
        parser.response(b"HTTP/1.1 200 OK\r\nX: %d\r\n\r\n" % number)
    parser.request(b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 5000))
    assert 0 < len(parser._request_blocks) <= 1024
    assert 0 < len(parser._responses) <= 1024
    assert max(map(len, parser._request_blocks)) <= 4096


def test_trailers_are_checked_and_those_that_frame_or_route_are_dropped() -> None:
    assert parse_trailers(b"\r\n\r\n") == b""
    block = b"\r\nX-Sum: 1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: b\r\nY: 2\r\n\r\n"
    assert parse_trailers(block) == b"\r\nX-Sum: 1\r\nY: 2"
    for bad in (b"\r\n X: 1\r\n\r\n", b"\r\nX : 1\r\n\r\n", b"\r\nX: a\nb\r\n\r\n"):
        with pytest.raises(ClientError):
            parse_trailers(bad)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_a_clients_error(data: bytes) -> None:
    with suppress(ClientError):
        HeadParser(HEADER_COUNT).request(data + b"\r\n\r\n")
    with suppress(ClientError):
        HeadParser(HEADER_COUNT).request(b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n")
    with suppress(ServerError):
        HeadParser(HEADER_COUNT).response(data + b"\r\n\r\n")
    with suppress(ServerError):
        HeadParser(HEADER_COUNT).response(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n")


tokens = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12).map(
    str.encode
)
values = st.text([chr(code) for code in (*range(0x20, 0x7F), 9)], max_size=20).map(
    lambda v: v.strip().encode()
)
targets = st.text([chr(code) for code in range(0x21, 0x7F) if chr(code) != "#"], max_size=20).map(
    lambda t: b"/" + t.encode()
)
special = {b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"}
fields = st.lists(st.tuples(tokens.filter(lambda n: n.lower() not in special), values), max_size=8)
framings = st.sampled_from([[], [(b"Content-Length", b"17")], [(b"Transfer-Encoding", b"chunked")]])


@given(method=tokens.filter(lambda m: m.upper() not in (b"CONNECT", b"TRACE")), target=targets, lines=fields,
       framing=framings, close=st.booleans())  # fmt: skip
def test_a_sound_head_means_what_another_reader_says(
    method: bytes,
    target: bytes,
    lines: list[tuple[bytes, bytes]],
    framing: list[tuple[bytes, bytes]],
    close: bool,
) -> None:
    lines = [(b"Host", b"a.b:80"), *lines, *framing, *([(b"Connection", b"close")] if close else [])]
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(b"%b: %b\r\n" % line for line in lines))
    other = h11.Connection(h11.SERVER)
    other.receive_data(head)
    event = other.next_event()
    found = HeadParser(HEADER_COUNT).request(head)
    assert isinstance(event, h11.Request)
    assert (found.method, found.target) == (event.method, event.target)
    headers = dict(event.headers)
    assert found.fields.content_length == (17 if b"content-length" in headers else None)
    assert found.fields.chunked == (b"transfer-encoding" in headers)
    assert found.keep_alive == (not close)
    forwarded = [tuple(line.split(b": ", 1)) for line in found.fields.forward.split(b"\r\n")[1:]]
    gone = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding"}
    assert forwarded == [line for line in lines if line[0].lower() not in gone]


@pytest.mark.parametrize(("line", "keeps"), [
    (b"Content-Length: 0", True), (b"Content-Length: 5", False), (b"Transfer-Encoding: chunked", False),
])  # fmt: skip
def test_a_204_that_claims_a_body_is_corrected_and_its_connection_not_used_again(
    line: bytes, keeps: bool
) -> None:
    found = HeadParser(HEADER_COUNT).response(b"HTTP/1.1 204 X\r\nA: 1\r\n" + line + b"\r\n\r\n")
    assert (found.forward, found.keep_alive) == (b"HTTP/1.1 204 X\r\nA: 1", keeps)
    assert not found.has_body(b"GET")


NO_BODY = [(b"HEAD", 200), (b"HEAD", 404), *((b"GET", status) for status in (100, 101, 103, 199, 204, 304))]
FAULTS = [
    *SMUGGLING,
    (b"Transfer-Encoding: gzip, chunked",),
    (b"Transfer-Encoding: chunked", b"Content-Length: 0"),
]


@pytest.mark.parametrize(("method", "status"), NO_BODY)
@pytest.mark.parametrize("lines", FAULTS)
def test_a_message_without_a_body_ends_at_the_empty_line_whatever_its_fields_say(
    method: bytes, status: int, lines: tuple[bytes, ...]
) -> None:
    """RFC 9112 §6.3, 1. It goes on without them, and its connection is not used again."""
    head = b"\r\n".join([b"HTTP/1.1 %d X" % status, b"A: 1", *lines, b"", b""])
    found = HeadParser(HEADER_COUNT).response(head, method)
    assert (found.forward, found.keep_alive) == (b"HTTP/1.1 %d X\r\nA: 1" % status, False)
    assert not found.has_body(method)


@pytest.mark.parametrize(("method", "status"), NO_BODY)
def test_chunked_in_http_1_0_frames_no_message_without_a_body(method: bytes, status: int) -> None:
    head = b"HTTP/1.0 %d X\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" % status
    assert not HeadParser(HEADER_COUNT).response(head, method).keep_alive


@pytest.mark.parametrize("lines", FAULTS)
def test_a_head_that_was_sound_for_one_method_is_judged_again_for_another(lines: tuple[bytes, ...]) -> None:
    parser = HeadParser(HEADER_COUNT)
    head = b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])
    for _ in range(2):
        assert parser.response(head, b"HEAD").status == 200
        for method in (b"GET", b"POST", b"head"):  # methods are case-sensitive
            with pytest.raises(ServerError):
                parser.response(head, method)


@pytest.mark.parametrize(("line", "kept"), [
    (b"Content-Length: 0", True), (b"Content-Length: 5", False), (b"Transfer-Encoding: chunked", False),
])  # fmt: skip
def test_an_interim_response_that_claims_a_body_is_passed_on_without(line: bytes, kept: bool) -> None:
    found = HeadParser(HEADER_COUNT).response(b"HTTP/1.1 103 X\r\n" + line + b"\r\n\r\n")
    assert (found.forward, found.keep_alive) == (b"HTTP/1.1 103 X", kept)


@pytest.mark.parametrize("name", [
    b"X-Forwarded-For", b"x_forwarded_for", b"X-Request-Id", b"Forwarded", b"X-Real-IP", b"Content_Length",
    b"If-Match", b"Range", b"Cache-Control", b"Location", b"WWW-Authenticate", b"Content-Encoding", b"Via",
])  # fmt: skip
def test_what_belongs_into_heads_is_no_trailer(name: bytes) -> None:
    assert parse_trailers(b"\r\nA: 1\r\n" + name + b": x\r\nB: 2\r\n\r\n") == b"\r\nA: 1\r\nB: 2"


@pytest.mark.parametrize(("data", "checked", "found"), [
    (b"GET / HTTP/1.1\r\nHost: a\r\n", 0, False), (b"GET /\n", 0, True), (b"\n", 0, True),
    (b"GET /\r\n", 6, False), (b"a\r\nb\n", 4, True), (b"a\nb", 2, False), (b"", 0, False),
])  # fmt: skip
def test_bare_line_feeds_are_found_in_what_is_new(data: bytes, checked: int, found: bool) -> None:
    assert has_bare_line_feed(data, checked) is found
