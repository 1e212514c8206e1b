"""A client's connection: its requests in order, its limits, and what it may do wrong."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import gevent
import pytest

from tests.proxy.rig import (
    GET,
    OK,
    SHORT,
    SHORT_SECONDS,
    Balancer,
    Peer,
    answering,
    deserted,
    playing,
    recording,
    slowly,
    until,
)

Make = Callable[..., Balancer]

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def echo(peer: Peer) -> None:
    """Answer with the request's target."""
    while head := peer.message():
        target = head.split(b" ")[1]
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))


def test_requests_of_one_connection_are_answered_in_order(balancer: Make) -> None:
    with playing(echo) as server, balancer(server).client() as client:
        for number in range(3):
            assert client.ask(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number).endswith(
                b"\r\n\r\n/%d" % number
            )
        assert server.connections == 1
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(9)))
        for number in range(9):
            assert client.message().endswith(b"\r\n\r\n/%d" % number)


def test_a_head_may_come_byte_by_byte(balancer: Make) -> None:
    with playing(echo) as server, balancer(server).client() as client:
        for byte in b"\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n":
            client.send(bytes([byte]))
            gevent.sleep(0)
        assert client.message().endswith(b"/slow")


@pytest.mark.parametrize(("request_bytes", "status"), [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET /" + b"x" * 2000, 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000, 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 101 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2001\r\n\r\n", 413),
    (CHUNKED + b"7d1\r\n" + b"x" * 2001 + b"\r\n0\r\n\r\n", 413),
    (CHUNKED + b"xyz\r\n", 400),
])  # fmt: skip
def test_what_is_wrong_is_answered_and_ends_the_connection(
    balancer: Make, request_bytes: bytes, status: int
) -> None:
    limits = {"requestLineBytes": 1000, "headerBytes": 4000, "bodyBytes": 2000}
    with playing(answering()) as server:
        made = balancer(server, limits=limits)
        with made.client() as client:
            client.send(request_bytes + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            response = client.rest()
        assert response.startswith(b"HTTP/1.1 %d " % status)
        assert response.count(b"\r\n\r\n") == 1
        assert b"\r\nConnection: close\r\n" in response
        assert made.failures(server.id) == 0
        for peer in server.peers:  # what reached a server, if anything, is no whole request
            assert not peer.message().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
def test_a_head_that_is_dripped_is_408(balancer: Make, begun: bytes) -> None:
    with balancer(timeouts={"clientHeader": SHORT}).client() as client:
        client.send(begun)
        began = time.monotonic()
        drip = gevent.spawn(lambda: [(gevent.sleep(0.1), client.send(b"X")) for _ in range(300)])
        assert client.message().startswith(b"HTTP/1.1 408 ")
        assert SHORT_SECONDS <= time.monotonic() - began < 20  # while it drips
        drip.kill()


def test_a_client_that_says_nothing_is_closed_without_a_word(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, timeouts={"keepAlive": SHORT})
        with made.client() as silent, made.client() as idle:
            idle.ask()
            assert silent.rest() == b""
            assert idle.rest() == b""


@pytest.mark.parametrize("said", [b"", b"GE", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_client_that_leaves_in_the_middle_of_its_head_is_forgotten(balancer: Make, said: bytes) -> None:
    made = balancer()
    with made.client() as client:
        client.send(said)
        until(lambda: made.clients() == 1)
    until(lambda: made.clients() == 0)


def test_the_last_request_of_a_connection_says_so(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"keepAliveRequests": 2})
        with made.client() as client:
            assert b"Connection" not in client.ask()
            assert b"\r\nConnection: close\r\n" in client.ask()
            assert client.rest() == b""


@pytest.mark.parametrize(("request_bytes", "line"), [
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"\r\nConnection: close\r\n"),
    (b"GET / HTTP/1.0\r\n\r\n", b"\r\nConnection: close\r\n"),
    (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"\r\nConnection: keep-alive\r\n"),
])  # fmt: skip
def test_what_becomes_of_the_connection_is_the_clients_choice(
    balancer: Make, request_bytes: bytes, line: bytes
) -> None:
    with playing(answering()) as server, balancer(server).client() as client:
        assert line in client.ask(request_bytes)
        if b"close" in line:
            assert client.rest() == b""
        else:
            assert client.ask(request_bytes)
        assert server.connections == 1  # the server's connection is kept all the same


def test_an_error_arrives_though_the_client_is_still_sending(balancer: Make) -> None:
    with balancer().client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 500_000)
        assert client.rest().startswith(b"HTTP/1.1 503 ")


def test_head_gets_an_error_without_a_body(balancer: Make) -> None:
    with balancer().client() as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.rest().endswith(b"\r\n\r\n")


def test_the_forwarded_address_is_the_clients(balancer: Make) -> None:
    requests: list[bytes] = []
    with playing(recording(requests)) as server:
        made = balancer(server)
        sock = gevent.socket.socket()
        sock.bind(("127.0.0.9", 0))
        sock.connect(made.address)
        with Peer(sock) as client:
            client.ask()
    assert b"\r\nX-Forwarded-For: 127.0.0.9\r\n" in requests[0]


def test_a_reset_is_no_error_of_ours(balancer: Make, caplog: pytest.LogCaptureFixture) -> None:
    with playing(answering()) as server:
        made = balancer(server)
        client = made.client()
        client.ask()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(GET)
        client.reset()
        until(lambda: made.clients() == 0)
        assert made.failures(server.id) == 0
    assert not caplog.records


@pytest.mark.parametrize("pieces", [
    [b"GET / HTTP/1.1\nHost: a\n\n"], [b"GET / HTTP/1.1\r", b"\nHost: a", b"\n"], [b"\n"],
    [b"GET / HTTP/1.1\r\nHost: a\r\n\n"],
])  # fmt: skip
def test_bare_line_feeds_are_refused_at_once(balancer: Make, pieces: list[bytes]) -> None:
    with balancer().client() as client:
        for piece in pieces:
            client.send(piece)
            gevent.sleep(0.01)
        assert client.rest().startswith(b"HTTP/1.1 400 ")


LAST = [
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    CHUNKED.replace(b"Host: a", b"Host: a\r\nConnection: close") + b"3\r\nabc\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", LAST)
def test_a_client_that_announced_its_end_may_end_its_side(balancer: Make, request_bytes: bytes) -> None:
    with playing(slowly) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(request_bytes)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.rest().endswith(b"\r\n\r\nok")
        assert made.failures(server.id) == 0


AHEAD = {
    "one": GET,
    "many": GET * 3000,  # more than is read ahead
    "of 1.0": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2,
    "with a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" * 2,
    "in chunks": (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n") * 2,
}


@pytest.mark.parametrize("request_bytes", [*LAST, LAST[2].replace(b": 3", b": 300000") + b"x" * 299997])
@pytest.mark.parametrize("ahead", AHEAD)
def test_it_may_also_announce_its_end_in_a_request_that_it_sent_ahead(
    balancer: Make, ahead: str, request_bytes: bytes
) -> None:
    """It gets all of its answers, though its side has ended while the first is awaited."""

    def waits(peer: Peer) -> None:
        first = peer.message()
        gevent.sleep(0.1)
        while first or peer.message():
            first = b""
            peer.send(OK)

    with playing(waits, answering()) as server:
        made = balancer(server)
        with made.client() as client:
            sending = gevent.spawn(client.send, AHEAD[ahead] + request_bytes)
            sending.rawlink(lambda _: client.socket.shutdown(socket.SHUT_WR))
            requests = (AHEAD[ahead] + request_bytes).count(b" HTTP/1.")
            assert client.rest().count(b"\r\n\r\nok") == requests
        assert made.failures(server.id) == 0


@pytest.mark.parametrize("end", [Peer.close, lambda peer: peer.socket.shutdown(socket.SHUT_WR)])
@pytest.mark.parametrize(
    "following", [b"", GET, GET * 1000, LAST[0][:-2], b"GET /# HTTP/1.1\r\n\r\n" + LAST[0]]
)
def test_any_other_client_that_ends_its_side_is_gone(
    balancer: Make, following: bytes, end: Callable[[Peer], None]
) -> None:
    """Also behind requests that it sent ahead."""
    left: list[bool] = []
    with playing(deserted(left)) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            until(lambda: server.connections == 1)
            client.send(following)
            gevent.sleep(0.01)
            end(client)
            until(lambda: left == [True])
            until(lambda: made.clients() == 0)
        assert made.failures(server.id) == 0


def test_a_reset_is_the_end_even_if_the_last_request_was_announced(balancer: Make) -> None:
    left: list[bool] = []
    with playing(deserted(left)) as server:
        made = balancer(server)
        client = made.client()
        client.send(LAST[0])
        until(lambda: made.connections() == 1)
        client.reset()
        until(lambda: left == [True])
        assert made.failures(server.id) == 0


def test_what_a_client_sends_ahead_is_bounded(balancer: Make) -> None:
    sent = 0
    with playing(lambda peer: peer.ended()) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            until(lambda: server.connections == 1)

            def pour() -> None:
                nonlocal sent
                while True:
                    client.send(GET * 1000)
                    sent += len(GET) * 1000

            pouring = gevent.spawn(pour)
            before = -1
            while before < sent:
                before = sent
                gevent.sleep(0.05)
            [stream] = made.plane._acceptor.clients
            assert len(stream.buffer) <= 2 * 65536
            pouring.kill()
