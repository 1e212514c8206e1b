"""Which fields go on, which do not, and what is added."""

from __future__ import annotations

import time
from ipaddress import ip_network

import pytest

from lb.proxy.headers import (
    REMOVED_FROM_REQUESTS,
    REMOVED_FROM_RESPONSES,
    forwarded_lines,
    read_fields,
    trusts,
)


def forwarded(*lines: bytes, removed: frozenset[bytes] = REMOVED_FROM_REQUESTS) -> list[bytes]:
    return read_fields(b"\r\n".join([b"", *lines, b"", b""]), removed).forward.split(b"\r\n")[1:]


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
])  # fmt: skip
def test_fields_of_one_connection_end_here(name: bytes) -> None:
    for removed in (REMOVED_FROM_REQUESTS, REMOVED_FROM_RESPONSES):
        assert forwarded(b"A: 1", name + b": x", b"B: 2", name.lower() + b":y", removed=removed) == [
            b"A: 1",
            b"B: 2",
        ]


def test_names_that_only_begin_or_end_alike_are_no_special_ones() -> None:
    lines = [b"Connection-Id: 1", b"X-Connection: close", b"Hosts: a", b"TEa: 1", b"X-Content-Length: x"]
    fields = read_fields(b"\r\n".join([b"", *lines, b"", b""]), REMOVED_FROM_REQUESTS)
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
    names = b",".join(b"n%d" % number for number in range(5000))
    began = time.process_time()
    assert forwarded(b"A: 1", b"Connection: " + names, b"N7: 1") == [b"A: 1"]
    assert time.process_time() - began < 0.1


def test_an_upgrade_counts_only_if_connection_names_it() -> None:
    def upgrade(*lines: bytes) -> bytes:
        return read_fields(b"\r\n".join([b"", *lines, b"", b""]), REMOVED_FROM_REQUESTS).upgrade

    assert upgrade(b"Upgrade: websocket", b"Connection: keep-alive, Upgrade") == b"websocket"
    assert upgrade(b"Upgrade: websocket") == b""
    assert upgrade(b"Connection: upgrade") == b""


def claimed(*lines: bytes, trusted: bool) -> list[bytes]:
    fields = read_fields(b"\r\n".join([b"", *lines, b"", b""]), REMOVED_FROM_REQUESTS)
    assert b"orwarded-" not in fields.forward
    return forwarded_lines(fields, b"1.1.1.1", trusted=trusted).split(b"\r\n")[1:]


CLAIMS = (b"Host: a:1", b"X-Forwarded-For: 9.9.9.9", b"x-forwarded-FOR: 8.8.8.8, 7.7.7.7",
          b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop")  # fmt: skip


def test_claims_of_a_stranger_are_replaced() -> None:
    expected = [b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: a:1"]
    assert claimed(*CLAIMS, trusted=False) == expected
    assert claimed(b"Host: a:1", trusted=True) == expected


def test_claims_of_a_trusted_proxy_are_appended_to() -> None:
    assert claimed(*CLAIMS, trusted=True) == [
        b"X-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7, 1.1.1.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: shop",
    ]


def test_without_a_host_none_is_made_up() -> None:
    assert claimed(trusted=False) == [b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-Proto: http"]


@pytest.mark.parametrize(("address", "expected"), [
    ("10.1.2.3", True), ("11.1.2.3", False), ("::ffff:10.1.2.3", True), ("fd00::1", True),
    ("fe80::1%2", False),
    ("::1", False), ("", False),
])  # fmt: skip
def test_who_is_trusted(address: str, expected: bool) -> None:
    assert trusts([ip_network("10.0.0.0/8"), ip_network("fd00::/8")], address) is expected
    assert trusts([], address) is False
