"""Which fields go on, which do not, and what is added."""

from __future__ import annotations

import re
import time

import pytest

from lb.proxy.headers import Fields, HeaderSettings, read_fields

REQUESTS = HeaderSettings().special_in_requests
RESPONSES = HeaderSettings().special_in_responses


def read(*lines: bytes, special: re.Pattern[bytes] = REQUESTS) -> Fields:
    return read_fields(b"\r\n".join([b"", *lines, b"", b""]), special)


def forwarded(*lines: bytes, special: re.Pattern[bytes] = REQUESTS) -> list[bytes]:
    return read(*lines, special=special).forward.split(b"\r\n")[1:]


def test_what_means_nothing_to_us_goes_on_byte_for_byte() -> None:
    lines = [
        b"B:  2 \t",
        b"a:1",
        b"B: 1",
        b"Cookie: a=b; c",
        b"X-Empty:",
        b"hOsT: a",
        b"TRAILER: x",
        b"a:\xff",
    ]
    assert forwarded(*lines) == lines


@pytest.mark.parametrize("name", [
    b"Connection", b"KEEP-ALIVE", b"proxy-connection", b"TE", b"Transfer-Encoding", b"Upgrade",
    b"HTTP2-Settings",
])  # fmt: skip
def test_fields_of_one_connection_end_here(name: bytes) -> None:
    for special in (REQUESTS, RESPONSES):
        assert forwarded(b"A: 1", name + b": x", b"B: 2", name.lower() + b":y", special=special) == [
            b"A: 1",
            b"B: 2",
        ]


def test_a_servers_word_of_where_an_answer_came_from_ends_here() -> None:
    assert forwarded(b"A: 1", b"X-Forwarded-Server: x", special=RESPONSES) == [b"A: 1"]


@pytest.mark.parametrize("name", [b"X-Served-By", b"X.*", b"x|a", b""])
def test_it_is_the_field_that_we_write_ourselves_that_ends_here(name: bytes) -> None:
    lines = [b"A: 1", b"X-Forwarded-Server: x", b"xab: 1"]
    ours = [name.lower() + b":y"] if name else []
    special = HeaderSettings(server=name).special_in_responses
    assert forwarded(*lines, *ours, special=special) == lines


def test_names_that_only_begin_or_end_alike_are_no_special_ones() -> None:
    lines = [b"Connection-Id: 1", b"X-Connection: close", b"Hosts: a", b"TEa: 1", b"X-Content-Length: x"]
    fields = read(*lines)
    assert fields.forward == b"\r\n" + b"\r\n".join(lines)
    assert not fields.close
    assert fields.content_length is None


def test_what_connection_names_is_not_forwarded() -> None:
    assert forwarded(
        b"X-Secret: 1", b"Connection: x-secret , ,  Other", b"x-SECRET: 2", b"Other:3", b"Others: 4"
    ) == [b"Others: 4"]
    assert forwarded(b"Connection: a", b"A: 1", b"connection: B", b"B: 1", b"C: 1") == [b"C: 1"]


@pytest.mark.parametrize("line", [
    b"Authorization: x", b"Cache-Control: x", b"Content-Length: 5", b"Content-Type: x", b"Cookie: x",
    b"Date: x",
    b"Host: a", b"Set-Cookie: x",
])  # fmt: skip
def test_what_is_meant_for_all_cannot_be_named_away(line: bytes) -> None:
    assert forwarded(line, b"Connection: " + line.partition(b":")[0].lower()) == [line]


def test_naming_thousands_of_fields_costs_no_more_than_reading_them() -> None:
    def cost(count: int) -> float:
        names = b",".join(b"n%d" % number for number in range(count))
        began = time.process_time()
        assert forwarded(b"A: 1", b"Connection: " + names, b"N7: 1") == [b"A: 1"]
        return time.process_time() - began

    few = min(cost(500) for _ in range(5))
    assert min(cost(5000) for _ in range(3)) < 40 * few  # quadratic it would be a hundred times the cost


def test_an_upgrade_counts_only_if_connection_names_it() -> None:
    assert read(b"Upgrade: websocket", b"Connection: keep-alive, Upgrade").upgrade == b"websocket"
    assert read(b"Upgrade: websocket").upgrade == b""
    assert read(b"Connection: upgrade").upgrade == b""


def test_several_lines_of_a_list_are_one_and_empty_ones_are_none_of_it() -> None:
    lines = (b"X-Forwarded-For:", b"X-Forwarded-For: a", b"X-Forwarded-For: ", b"X-Forwarded-For: b, c")
    assert read(*lines).forwarded_for == b"a, b, c"


@pytest.mark.parametrize(
    ("lines", "takes"),
    [
        ((b"TE: trailers",), True),
        ((b"TE: trailers", b"TE: gzip"), True),
        ((b"TE: gzip",), False),
        ((b"X-TE: trailers",), False),
    ],
)
def test_who_takes_trailers_says_so(lines: tuple[bytes, ...], takes: bool) -> None:
    assert read(*lines).takes_trailers is takes


def test_several_upgrade_lines_are_one_list_without_http_2() -> None:
    def upgrade(*values: bytes) -> bytes:
        return read(b"Connection: upgrade", *(b"Upgrade: " + value for value in values)).upgrade

    assert upgrade(b"websocket", b"irc, foo/2") == b"websocket, irc, foo/2"
    assert upgrade(b"h2c") == upgrade(b"H2C, h2", b"h2c") == upgrade(b"") == b""
    assert upgrade(b"h2c, websocket") == upgrade(b"websocket", b"h2c") == b"websocket"


@pytest.mark.parametrize("name", [
    b"X-Forwarded-For", b"X-Forwarded-Proto", b"x-forwarded-host", b"X-Forwarded-Port", b"X-Real-IP",
    b"X-Forwarded-Prefix", b"X-Forwarded-Server", b"Forwarded", b"X-Request-ID",
])  # fmt: skip
def test_what_is_said_of_the_hops_before_us_is_not_simply_passed_on(name: bytes) -> None:
    assert forwarded(b"A: 1", name + b": x", b"B: 2") == [b"A: 1", b"B: 2"]


@pytest.mark.parametrize("name", [
    b"X_Forwarded_For", b"X-Forwarded_For", b"x_forwarded-proto", b"X_REAL_IP", b"X_Request_Id",
    b"Content_Length", b"Transfer_Encoding", b"X-Forwarded-Client_Cert",
])  # fmt: skip
def test_names_that_imitate_ours_for_cgi_are_dropped(name: bytes) -> None:
    fields = read(b"A: 1", name + b": 7", b"B_C: 2")
    assert fields == Fields(forward=b"\r\nA: 1\r\nB_C: 2")


def test_claims_of_which_we_make_nothing_ourselves_are_kept_for_clients_that_are_trusted() -> None:
    claims = [b"X-Forwarded-Port: 1", b"x-real-ip:2"]
    assert read(*claims, b"Keep-Alive: 5", b"X-Forwarded-For: 3").claims == b"".join(
        b"\r\n" + line for line in claims
    )


def test_request_ids_are_anybodys_if_we_have_none() -> None:
    without = HeaderSettings(request_id=False, request_id_in_response=True)
    lines = [b"X-Request-Id: 1", b"X_Request_Id: 2"]
    for special in (without.special_in_requests, without.special_in_responses, RESPONSES):
        assert forwarded(*lines, special=special) == lines
    ours = HeaderSettings(request_id_in_response=True)
    assert forwarded(lines[0], special=ours.special_in_responses) == [b""][1:]
