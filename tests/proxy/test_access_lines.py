"""Lines of the access log: their form, whatever clients send."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ClientError
from lb.proxy.access_lines import FORMATS, LONGEST_LINE, NEVER, Combined, Json, Lines, Record
from lb.proxy.headers import Fields
from lb.proxy.http1 import HeadParser, Request, unreadable

SECOND = 1_600_000_000
HEAD = (
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: curl/8\r\nX-Request-Id: a-1\r\n\r\n"
)
NONE = {"referer", "userAgent", "requestId", "server", "reason", "method", "protocol"}

LINE = re.compile(
    r'(?P<client>\S+) - - \[[^]"]+\] "(?P<request>[^"]*)" (?P<status>\d{3}|-) (?P<sent>\d+) '
    r'"(?P<referer>[^"]*)" "(?P<agent>[^"]*)" id=(?P<id>\S+) server=(?P<server>\S+) '
    r"attempts=(?P<attempts>\d+) queue=(?P<queue>[\d.]+) connect=(?P<connect>[\d.]+) "
    r"first_byte=(?P<first>[\d.]+|-) total=(?P<total>[\d.]+) received=(?P<received>\d+) "
    r"reason=(?P<reason>\S+)\n"
)


def record(request: Request, **changes: object) -> Record:
    values = {
        "when": 5.25,
        "client": b"192.0.2.1",
        "request": request,
        "status": 200,
        "server": "s:80",
        "attempts": 2,
        "queue": 0.0001134,
        "connect": 0.002,
        "head": 0.5,
        "total": 61.25,
        "sent": 345,
        "received": 78,
        "reason": "",
    }
    return tuple((values | changes).values())  # type: ignore[return-value]


def request(head: bytes = HEAD) -> Request:
    parsed = HeadParser(100).request(head)
    parsed.id_line = b"\r\nX-Request-Id: " + parsed.fields.request_id if parsed.fields.request_id else b""
    return parsed


def lines(log: Lines, records: list[Record]) -> list[str]:
    return [f"{line}\n" for line in log(records, SECOND).decode("ascii").split("\n")[:-1]]


def write(log: Lines, asked: Request, **changes: object) -> str:
    (line,) = lines(log, [record(asked, **changes)])
    return line


def test_each_line_has_its_own_time() -> None:
    asked = [record(request(), when=when) for when in (5.25, 5.2504, 5.2512, 6.0, 6.9998, 7.0)]
    assert [json.loads(line)["time"][17:] for line in lines(Json(), asked)] == [
        "45.250Z",
        "45.250Z",
        "45.251Z",
        "46.000Z",
        "46.999Z",
        "47.000Z",
    ]
    assert [line.split(" ")[3][-2:] for line in lines(Combined(), asked)] == ["45"] * 3 + ["46"] * 2 + ["47"]


def test_combined() -> None:
    line = write(Combined(), request())
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(SECOND + 5))
    assert line == (
        f'192.0.2.1 - - [{stamp}] "GET /a?b=c HTTP/1.1" 200 345 "http://b/" "curl/8" id=a-1 server=s:80 '
        "attempts=2 queue=0.000113 connect=0.002000 first_byte=0.500000 total=61.250000 received=78 "
        "reason=-\n"
    )


def test_json() -> None:
    line = write(Json(), request())
    assert json.loads(line) == {
        "time": "2020-09-13T12:26:45.250Z",
        "client": "192.0.2.1",
        "method": "GET",
        "target": "/a?b=c",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytesSent": 345,
        "bytesReceived": 78,
        "referer": "http://b/",
        "userAgent": "curl/8",
        "requestId": "a-1",
        "server": "s:80",
        "attempts": 2,
        "queueSeconds": 0.000113,
        "connectSeconds": 0.002,
        "firstByteSeconds": 0.5,
        "totalSeconds": 61.25,
        "reason": None,
    }


def test_what_there_is_not() -> None:
    bare = record(
        unreadable(b"\r\nnonsense\r\nX: y\r\n\r\n"), client=b"", status=0, server="", head=NEVER, reason="cut"
    )
    line = Combined()([bare], SECOND).decode()
    found = LINE.fullmatch(line)
    assert found is not None
    assert (
        found.groupdict() | {"request": "nonsense", "client": "unix:", "reason": "cut"} == found.groupdict()
    )
    assert [found[name] for name in ("status", "referer", "agent", "id", "server", "first")] == ["-"] * 6
    line = Json()([bare], SECOND).decode()
    said = json.loads(line)
    assert {name for name, value in said.items() if value is None} == (
        NONE - {"reason"} | {"status", "firstByteSeconds"}
    )
    assert (said["client"], said["target"], said["reason"]) == ("unix:", "nonsense", "cut")


def test_unsafe_bytes_are_escaped() -> None:
    odd = request(b'GET /"\\\xc3\xa4\xff HTTP/1.1\r\nHost: a\r\nUser-Agent: \t"\xc3\xa4 b\r\n\r\n')
    line = write(Combined(), odd)
    assert r'"GET /\x22\x5c\xc3\xa4\xff HTTP/1.1"' in line
    assert r'"\x22\xc3\xa4 b"' in line
    said = json.loads(write(Json(), odd))
    assert said["target"] == '/"\\ä\\xff'
    assert said["userAgent"] == '"ä b'


@pytest.mark.parametrize("line_format", FORMATS)
def test_long_parts_are_clipped(line_format: str) -> None:
    long = request(
        b"%b /%b HTTP/1.1\r\nHost: a\r\nReferer: %b\r\nUser-Agent: %b\r\nX-Request-Id: %b\r\n\r\n"
        % (b"M" * 999, b"t" * 9999, b"\xff" * 9999, b'"' * 9999, b"1" * 9999)
    )
    line = write(FORMATS[line_format](), long, server="s" * 999)
    assert len(line) <= LONGEST_LINE
    assert "/" + "t" * 2000 in line
    assert "t..." in line
    assert "s..." in line


def test_many_texts_are_forgotten_again() -> None:
    log = Combined()
    for number in range(9000):
        asked = request(HEAD.replace(b"/a", b"/%d" % number))
        line = write(log, asked, queue=number / 1e6)
        assert f"GET /{number}?b=c " in line
        assert f" queue={number / 1e6:.6f} " in line
    assert len(log._targets) < 5000


ANY = st.binary(max_size=300)


@given(
    st.lists(
        st.builds(Request, ANY, ANY, st.sampled_from([-1, 0, 1]), st.builds(Fields, ANY, ANY)), max_size=5
    )
)
def test_nothing_that_a_client_sends_makes_a_line_of_its_own(requests: list[Request]) -> None:
    for asked in requests:
        asked.fields.forward = b"\r\nReferer: %b\r\nUser-Agent: %b" % (
            asked.fields.forward.replace(b"\r", b""),
            (asked.fields.host or b"").replace(b"\r", b""),
        )
        asked.id_line = b"\r\nX-Request-Id: " + asked.method
    records = [record(asked) for asked in requests]
    for line, asked in zip(lines(Combined(), records), requests, strict=True):
        assert line.isascii()
        assert line[:-1].isprintable()
        found = LINE.fullmatch(line)
        assert found is not None, line
        if len(asked.target) < 300 and asked.minor >= 0:
            unescaped = re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), found["request"])
            assert unescaped.encode("latin-1").endswith(b" HTTP/1.%d" % asked.minor)
            assert asked.target in unescaped.encode("latin-1")
    for line, asked in zip(lines(Json(), records), requests, strict=True):
        assert line.isascii()
        assert line[:-1].isprintable()
        assert len(line) <= LONGEST_LINE
        said = json.loads(line)
        assert said["target"] in (asked.target.decode("utf-8", "backslashreplace") or None, said["target"])


@given(st.binary(max_size=200))
def test_heads_that_are_none_are_one_line_too(head: bytes) -> None:
    asked = unreadable(head)
    with suppress(ClientError):
        asked = HeadParser(100).request(head + b"\r\n\r\n")
    for make in FORMATS.values():
        line = write(make(), asked)
        assert line.count("\n") == 1
        assert len(line) <= LONGEST_LINE
