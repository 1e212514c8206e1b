"""What requests get from us: the chain of hops, an id, our name."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_network

import pytest

from lb.proxy.additions import Additions, trusts
from lb.proxy.headers import Fields, HeaderSettings, read_fields
from tests.proxy.rig import GET, OK, Balancer, answering, playing, recording, refused_port

Make = Callable[..., Balancer]


def read(*lines: bytes) -> Fields:
    return read_fields(b"\r\n".join([b"", *lines, b"", b""]), HeaderSettings().special_in_requests)


def added(
    *lines: bytes, trusted: bool, client: bytes = b"1.1.1.1", minor: int = 1, **settings: object
) -> list[bytes]:
    additions = Additions(HeaderSettings(**settings))  # type: ignore[arg-type]
    return additions.lines(read(*lines), minor, client, trusted=trusted).split(b"\r\n")[1:]


CLAIMS = (b"Host: a:1", b"X-Forwarded-For: 9.9.9.9", b"x-forwarded-FOR: 8.8.8.8, 7.7.7.7",
          b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop", b"X-Forwarded-Port:  443 ",
          b"X-Real-IP: 9.9.9.9", b"Forwarded: for=9.9.9.9", b"forwarded: for=8.8.8.8")  # fmt: skip


def test_claims_of_a_stranger_are_replaced() -> None:
    expected = [b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-Proto: http", b"X-Forwarded-Host: a:1"]
    assert added(*CLAIMS, trusted=False) == expected
    assert added(b"Host: a:1", trusted=True) == expected


def test_claims_of_a_trusted_proxy_are_appended_to() -> None:
    assert added(*CLAIMS, trusted=True) == [
        b"X-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7, 1.1.1.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: shop",
        b"Forwarded: for=9.9.9.9, for=8.8.8.8",
        b"X-Forwarded-Port:  443 ",
        b"X-Real-IP: 9.9.9.9",
    ]


def test_without_a_host_or_an_address_none_is_made_up() -> None:
    assert added(trusted=False) == [b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-Proto: http"]
    assert added(trusted=True, client=b"") == [b"X-Forwarded-Proto: http"]
    assert added(*CLAIMS, trusted=True, client=b"")[0] == b"X-Forwarded-For: 9.9.9.9, 8.8.8.8, 7.7.7.7"


@pytest.mark.parametrize(("client", "lines", "expected"), [
    (b"1.1.1.1", [b"Host: a"], b"for=1.1.1.1;proto=http;host=a"),
    (b"1.1.1.1", [b"Host: a:1"], b'for=1.1.1.1;proto=http;host="a:1"'),
    (b"1.1.1.1", [b"Host: [::1]:1"], b'for=1.1.1.1;proto=http;host="[::1]:1"'),
    (b"1.1.1.1", [b"Host: a;b=c,d"], b'for=1.1.1.1;proto=http;host="a;b=c,d"'),
    (b"2001:db8::1", [], b'for="[2001:db8::1]";proto=http'),
    (b"", [], b"for=unknown;proto=http"),
])  # fmt: skip
def test_forwarded_describes_this_hop(client: bytes, lines: list[bytes], expected: bytes) -> None:
    assert added(*lines, trusted=False, client=client, forwarded=True)[-1] == b"Forwarded: " + expected


def test_forwarded_is_appended_to_for_the_trusted_alone() -> None:
    ours = b'for=1.1.1.1;proto=http;host="a:1"'
    assert b"Forwarded: " + ours in added(*CLAIMS, trusted=False, forwarded=True)
    trusted = added(*CLAIMS, trusted=True, forwarded=True)
    assert b"Forwarded: for=9.9.9.9, for=8.8.8.8, " + ours in trusted


def test_via_tells_the_version_that_was_received() -> None:
    assert added(trusted=False, via=b"lb")[-1] == b"Via: 1.1 lb"
    assert added(trusted=False, via=b"lb:80", minor=0)[-1] == b"Via: 1.0 lb:80"


def test_ids_are_unique_in_the_fleet_and_kept_from_the_trusted() -> None:
    one, another = Additions(HeaderSettings()), Additions(HeaderSettings())
    ids = {additions.id_line(read(), trusted=True) for additions in (one, another) for _ in range(1000)}
    assert len(ids) == 2000
    assert all(re.fullmatch(rb"\r\nX-Request-Id: [0-9a-f]{24}", line) for line in ids)
    claimed = read(b"x-request-id: abc", b"X-Request-Id: ")
    assert one.id_line(read(b"x-request-id:  a b "), trusted=True) == b"\r\nX-Request-Id: a b"
    assert one.id_line(claimed, trusted=True) != one.id_line(claimed, trusted=True)  # none was said
    assert b"abc" not in one.id_line(read(b"X-Request-Id: abc"), trusted=False)


@pytest.mark.parametrize(("address", "expected"), [
    ("10.1.2.3", True), ("11.1.2.3", False), ("::ffff:10.1.2.3", True), ("fd00::1", True),
    ("fe80::1%2", False),
    ("::1", False), ("", False),
])  # fmt: skip
def test_who_is_trusted(address: str, expected: bool) -> None:
    assert trusts([ip_network("10.0.0.0/8"), ip_network("fd00::/8")], address) is expected
    assert trusts([], address) is False
    assert trusts(["unix:"], address) is (address == "")


def ids(message: bytes) -> list[bytes]:
    return re.findall(rb"(?i)\r\nx-request-id: ([^\r]*)", message)


SPOOFED = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n"


def test_each_request_has_an_id_of_its_own_that_servers_see(balancer: Make) -> None:
    requests: list[bytes] = []
    with playing(recording(requests)) as server:
        made = balancer(server)
        with made.client() as client:
            answers = [client.ask(GET), client.ask(GET), client.ask(SPOOFED)]
        balancer(server, trustedProxies=["127.0.0.0/8"]).ask(SPOOFED)
        balancer(server, requestId=False).ask(SPOOFED)
        balancer(server, requestId=False).ask(GET)
    seen = [ids(request) for request in requests]
    assert [len(found) for found in seen] == [1, 1, 1, 1, 1, 0]
    assert len({found[0] for found in seen[:3]} - {b"mine"}) == 3
    assert seen[3] == seen[4] == [b"mine"]
    assert not any(ids(answer) for answer in answers)


def test_an_id_stays_the_same_over_all_attempts_and_in_the_answer(balancer: Make) -> None:
    requests: list[bytes] = []
    busy = b"HTTP/1.1 503 No\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n"
    fine = OK.replace(b"Content", b"X-Request-Id: theirs\r\nContent")
    with playing(recording(requests, busy)) as one, playing(recording(requests, fine)) as two:
        made = balancer(one, two, requestIdInResponse=True)
        answer = made.ask()
    assert ids(requests[0]) == ids(requests[1]) == ids(answer)
    assert ids(answer) not in ([], [b"theirs"])


def test_our_own_answers_carry_the_id_too(balancer: Make) -> None:
    with refused_port() as server:
        assert ids(balancer(server, requestIdInResponse=True).ask())
        assert not ids(balancer(server).ask())


def test_via_and_forwarded_come_by_setting(balancer: Make) -> None:
    requests: list[bytes] = []
    via = OK.replace(b"Content", b"Via: 1.0 inner\r\nContent")
    with playing(recording(requests, via)) as server:
        made = balancer(server, via="edge", forwarded=True)
        answer = made.ask(b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 outer\r\n\r\n")
        with made.client() as client:  # the same fields, by both versions
            client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.ask(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    assert re.findall(rb"Via: ([^\r]*)", answer) == [b"1.0 inner", b"1.1 edge"]
    assert re.findall(rb"Via: ([^\r]*)", requests[0]) == [b"1.1 outer", b"1.1 edge"]
    assert [re.findall(rb"Via: ([^\r]*)", one) for one in requests[1:]] == [[b"1.1 edge"], [b"1.0 edge"]]
    assert b"\r\nForwarded: for=127.0.0.1;proto=http;host=a\r\n" in requests[0]
    with playing(answering()) as plain:
        assert b"Via" not in balancer(plain).ask()
