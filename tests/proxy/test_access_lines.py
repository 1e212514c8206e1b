"""Lines of the access log: their form, whatever clients send."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ClientError
from lb.model import ServerId
from lb.proxy import access_lines
from lb.proxy.access_lines import FORMATS, LONGEST_LINE, NEVER, Combined, Json, Lines
from lb.proxy.headers import Fields
from lb.proxy.http1 import HeadParser, Request, Trace, unreadable
from lb.store.lease import Lease

SECOND = 1_600_000_000
HEAD = (
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: curl/8\r\nX-Request-Id: a-1\r\n\r\n"
)
NONE = {"referer", "userAgent", "requestId", "server", "reason", "method", "protocol"}

LINE = re.compile(
    r'(?P<client>\S+) - - \[[^]"]+\] "(?P<request>[^"]*)" (?P<status>\d{3}|-) (?P<sent>\d+) '
    r'"(?P<referer>[^"]*)" "(?P<agent>[^"]*)" id=(?P<id>\S+) server=(?P<server>\S+) '
    r"queue=(?P<queue>[\d.]+) first_byte=(?P<first>[\d.]+|-) total=(?P<total>[\d.]+) "
    r"attempts=(?P<attempts>\d+) connect=(?P<connect>[\d.]+) received=(?P<received>\d+) "
    r"reason=(?P<reason>\S+)\n"
)


def request(head: bytes = HEAD) -> Request:
    parsed = HeadParser(100).request(head)
    parsed.id_line = b"\r\nX-Request-Id: " + parsed.fields.request_id if parsed.fields.request_id else b""
    parsed.body = b"x" * 78
    parsed.trace = Trace(attempts=2, connecting_seconds=0.002)
    return parsed


def write(
    log: Lines,
    what: Request,
    /,
    *,
    address: bytes = b"192.0.2.1",
    own_id: bool = False,
    server: str = "s:80",
    status: int = 200,
    now: float = 66.25,
    head: float = 0.5,
    queued: float = 0.0001734,
    reason: str = "",
) -> str:
    """Write a line `now` seconds after SECOND, for a request that came at 5."""
    noted = (what, address, own_id, ServerId(server), status, 345, now, now - 5, head, queued, reason)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: SECOND + now)
        patch.setattr(access_lines, "monotonic", lambda: now)
        return log.lines([noted]).decode("ascii")


def test_each_line_has_its_own_time() -> None:
    as_json, combined = Json(), Combined()
    moments = (5.25, 5.2504, 5.2512, 6.0001, 6.9998, 7.0001)
    assert [json.loads(write(as_json, request(), now=now))["time"][17:] for now in moments] == [
        "45.250Z",
        "45.250Z",
        "45.251Z",
        "46.000Z",
        "46.999Z",
        "47.000Z",
    ]
    seconds = [write(combined, request(), now=now).split(" ")[3][-2:] for now in moments]
    assert seconds == ["45"] * 3 + ["46"] * 2 + ["47"]


def test_combined() -> None:
    line = write(Combined(), request())
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(SECOND + 66))
    assert line == (
        f'192.0.2.1 - - [{stamp}] "GET /a?b=c HTTP/1.1" 200 345 "http://b/" "curl/8" id=a-1 server=s:80 '
        "queue=0.0001 first_byte=0.5000 total=61.2500 attempts=2 connect=0.0020 received=78 reason=-\n"
    )


def test_json() -> None:
    line = write(Json(), request())
    assert json.loads(line) == {
        "time": "2020-09-13T12:27:46.250Z",
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
        "queueSeconds": 0.0001,
        "connectSeconds": 0.002,
        "firstByteSeconds": 0.5,
        "totalSeconds": 61.25,
        "reason": None,
    }


@pytest.mark.parametrize("line_format", FORMATS)
@pytest.mark.parametrize(
    "unusual",
    [
        {},
        {"attempts": 0, "reason": "no-server"},
        {"attempts": 3},
        {"connecting": 0.1},
        {"received": 9},
        {"reason": "cut"},
    ],
)
def test_what_is_unusual_is_in_its_place(line_format: str, unusual: dict[str, Any]) -> None:
    """What most lines have in common is written in another way, to the same effect."""
    changed: dict[str, Any] = {"attempts": 1, "connecting": 0.0, "received": 0, "reason": ""} | unusual
    asked = request()
    asked.body, asked.trace = b"x" * changed["received"], None
    if changed["attempts"] > 0:
        asked.lease = Lease(ServerId("s:80"), 0.0)
    if changed["attempts"] > 1 or changed["connecting"]:
        asked.trace = Trace(changed["attempts"], changed["connecting"])
    line = write(FORMATS[line_format](), asked, reason=changed["reason"])
    found = LINE.fullmatch(line)
    if found is None:
        said = json.loads(line)
        rest = [said[name] for name in ("attempts", "connectSeconds", "bytesReceived", "reason")]
    else:
        rest = [int(found["attempts"]), float(found["connect"]), int(found["received"])]
        rest.append(None if found["reason"] == "-" else found["reason"])
    assert rest == [
        changed["attempts"],
        changed["connecting"],
        changed["received"],
        changed["reason"] or None,
    ]


def test_ids_of_untrusted_clients_are_our_own() -> None:
    """They are written without a look at them: nobody else's get that far."""
    asked = request()
    asked.id_line = b"\r\nX-Request-Id: 0123456789abcdef00000001"
    assert " id=0123456789abcdef00000001 " in write(Combined(), asked, own_id=True)


def test_what_there_is_not() -> None:
    bare: dict[str, Any] = {"address": b"", "status": 0, "server": "", "head": NEVER, "reason": "cut"}
    nonsense = unreadable(b"\r\nnonsense\r\nX: y\r\n\r\n")
    found = LINE.fullmatch(write(Combined(), nonsense, **bare))
    assert found is not None
    assert (
        found.groupdict() | {"request": "nonsense", "client": "unix:", "reason": "cut"} == found.groupdict()
    )
    assert [found[name] for name in ("status", "referer", "agent", "id", "server", "first")] == ["-"] * 6
    said = json.loads(write(Json(), nonsense, **bare))
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
        line = write(log, asked, queued=(number + 0.5) / 1e4)
        assert f"GET /{number}?b=c " in line
        assert f" queue={number / 1e4:.4f} " in line
    assert len(log._requests[1]) < 5000
    assert len(log._times) < 5000


def test_what_clients_make_up_does_not_fill_the_memory() -> None:
    log = Combined()
    for number in range(9000):
        method, target, agent = b"M%d" % number, b"/%d" % number * 100, b"%d" % number * 500
        write(log, request(b"%b %b HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\n\r\n" % (method, target, agent)))
    kept = [*log._requests.values(), log._headers]
    assert sum(sum(map(len, key)) for memory in kept[:-1] for key in memory) < 5_000_000
    assert sum(map(len, kept[-1])) < 5_000_000


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
    combined, as_json = Combined(), Json()
    for asked in requests:
        line = write(combined, asked)
        assert line.isascii()
        assert line[:-1].isprintable()
        found = LINE.fullmatch(line)
        assert found is not None, line
        if len(asked.target) < 300 and asked.minor >= 0:
            unescaped = re.sub(r"\\x(..)", lambda match: chr(int(match[1], 16)), found["request"])
            assert unescaped.encode("latin-1").endswith(b"HTTP/1.%d" % asked.minor)
            assert asked.target in unescaped.encode("latin-1")
        line = write(as_json, asked)
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
