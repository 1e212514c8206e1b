"""One attempt: kept connections that died, what is sent, interim answers."""

from __future__ import annotations

import socket
from collections.abc import Callable

import gevent
import pytest

from lb.model import ServerId
from tests.proxy.rig import (
    GET,
    OK,
    Balancer,
    Peer,
    answering,
    dies_at_the_second,
    playing,
    recording,
    until,
)

Make = Callable[..., Balancer]


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_a_kept_connection_is_used_again_and_replaced_when_it_died(balancer: Make) -> None:
    def once(peer: Peer) -> None:
        peer.message()
        peer.send(OK)
        peer.close()

    with playing(answering()) as lasting, playing(once) as ending:
        made = balancer(lasting)
        for _ in range(3):
            assert made.ask().endswith(b"ok")
        assert lasting.connections == 1
        made.pool.reconcile([], "round-robin", "")
        other = balancer(ending)
        for request in (GET, POST, GET, POST):
            assert other.ask(request).endswith(b"ok")
        assert ending.connections == 4


@pytest.mark.parametrize("method", [b"GET", b"DELETE"])
def test_a_kept_connection_that_dies_under_an_idempotent_request_is_replaced(
    balancer: Make, method: bytes
) -> None:
    with playing(dies_at_the_second, answering()) as server:
        made = balancer(server, maxRetries=0)
        for _ in range(2):
            assert made.ask(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"ok")
        assert server.connections == 2
        assert made.failures(server.id) == 0


def test_a_kept_connection_that_dies_behind_an_interim_answer_was_alive(balancer: Make) -> None:
    """So the server has failed, and nothing is sent to it once more."""

    def dies(peer: Peer) -> None:
        peer.message()
        peer.send(OK)
        peer.message()
        peer.send(CONTINUE)
        gevent.sleep(0.02)
        peer.reset()

    with playing(dies, answering()) as server:
        made = balancer(server, maxRetries=0)
        with made.client() as client:
            client.ask()
            assert client.ask() == CONTINUE
            assert client.message().startswith(b"HTTP/1.1 502 ")
        assert server.connections == 1
        assert made.failures(server.id) == 1


def test_a_kept_connection_that_dies_under_another_request_is_502(balancer: Make) -> None:
    with playing(dies_at_the_second, answering()) as server:
        made = balancer(server)
        made.ask()
        assert made.ask(POST).startswith(b"HTTP/1.1 502 ")
        assert server.connections == 1


def test_a_server_gets_a_host_if_the_client_named_none(balancer: Make) -> None:
    requests: list[bytes] = []
    with playing(recording(requests)) as server:
        assert balancer(server).ask(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert b"\r\nHost: " + server.id.encode() + b"\r\n" in requests[0]


def test_a_trusted_client_may_speak_for_those_behind_it(balancer: Make) -> None:
    requests: list[bytes] = []
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https"
        b"\r\nX-Forwarded-Host: shop\r\n\r\n"
    )
    with playing(recording(requests)) as server:
        balancer(server).ask(request)
        balancer(server, trustedProxies=["127.0.0.0/8"]).ask(request)
    plain, trusted = requests
    assert b"9.9.9.9" not in plain
    assert b"https" not in plain
    assert b"shop" not in plain
    assert b"\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\n" in trusted
    assert b"\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\r\n" in trusted


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"TE: trailers\r\nConnection: TE\r\n", True),
        (b"te: gzip;q=0.5, Trailers\r\n", True),
        (b"TE: gzip\r\n", False),
        (b"TE: trailers\r\nConnection: TE, upgrade\r\nUpgrade: websocket\r\n", False),
    ],
)
def test_a_server_is_told_that_trailers_are_welcome(balancer: Make, lines: bytes, told: bool) -> None:
    """RFC 9110 §10.1.4: TE is for one connection, and trailers are passed on. An upgrade has none."""
    requests: list[bytes] = []
    with playing(recording(requests)) as server:
        made = balancer(server)
        made.ask(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % lines)
        made.ask(b"GET / HTTP/1.0\r\nHost: a\r\n%b\r\n" % lines)
    new, old = requests
    assert (b"\r\nTE: trailers\r\nConnection: TE\r\n" in new) == told
    assert b"\r\nte:" not in old.lower()


def test_interim_answers_are_passed_on_as_they_come(balancer: Make) -> None:
    def interim(peer: Peer) -> None:
        while peer.message():
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + CONTINUE + OK)

    with playing(interim) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            assert client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            assert client.head() == CONTINUE
            assert client.message().startswith(b"HTTP/1.1 200 ")
        assert made.ask(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")  # 1.0 knows none


@pytest.mark.parametrize("framing", [
    b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Content-Length: x",
    b"Content-Length: 0\r\nTransfer-Encoding: chunked",
])  # fmt: skip
def test_an_interim_answer_that_claims_a_body_has_none_and_its_connection_is_not_kept(
    balancer: Make, framing: bytes
) -> None:
    with playing(answering(b"HTTP/1.1 103 Hints\r\n%b\r\nLink: </a>\r\n\r\n" % framing + OK)) as server:
        with balancer(server, maxRetries=0).client() as client:
            for _ in range(2):
                client.send(GET)
                assert client.head() == b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"
                assert client.message().endswith(b"ok")
        assert server.connections == 2


def test_an_answer_whose_lines_end_in_bare_line_feeds_is_502_at_once(balancer: Make) -> None:
    """Its head would never end for us: nobody should wait for that."""
    with playing(answering(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")) as server:
        made = balancer(server, maxRetries=0, timeouts={"responseHead": "1m"})
        assert made.ask(GET).startswith(b"HTTP/1.1 502 ")


def test_a_switch_that_nobody_asked_for_is_502(balancer: Make) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    with playing(answering(switch)) as server:
        made = balancer(server, maxRetries=0)
        asking = b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"  # not for 1.0 to ask
        for request in (GET, asking):
            assert made.ask(request).startswith(b"HTTP/1.1 502 ")


def test_requests_to_speak_http_2_are_answered_in_http_1(balancer: Make) -> None:
    requests: list[bytes] = []
    asking = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c"
        b"\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n"
    )
    with playing(recording(requests)) as server:
        assert balancer(server).ask(asking).endswith(b"ok")
    assert not {b"upgrade", b"http2-settings", b"connection"} & {
        line.partition(b":")[0].lower() for line in requests[0].split(b"\r\n")
    }


def test_a_client_that_leaves_while_a_connection_is_made_is_not_waited_for(balancer: Make) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, playing(answering()) as other:
        with socket.create_connection(full.getsockname()):
            server = ServerId(f"127.0.0.1:{full.getsockname()[1]}")
            made = balancer(server, other, timeouts={"connect": "10s"})
            with made.client() as client:
                client.send(GET)
                until(lambda: made.connections() == 1)
            until(lambda: made.clients() == 0)
            assert made.failures(server) == 0
        assert not other.connections
