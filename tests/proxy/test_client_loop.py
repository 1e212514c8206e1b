"""What may come before a request, and what is none."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import gevent
import pytest

from tests.proxy.rig import GET, OK, SHORT, Balancer, Peer, answering, playing, recording, until

Make = Callable[..., Balancer]

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"


def in_packets(client: Peer, packets: list[bytes]) -> None:
    for packet in packets:
        client.send(packet)
        gevent.sleep(0.005)


@pytest.mark.parametrize(
    "packets",
    [
        [b"\r\n" + GET],
        [b"\r\n", GET],
        [b"\r", b"\n", GET],
        [b"\r", b"\n" + GET],
        [b"\r\n" + GET[:1], GET[1:]],
        [b"\r\n" + GET[:-2], GET[-2:]],
        [b"\r\n" + POST],
        [b"\r\n", POST[:-4], POST[-4:]],
    ],
)
def test_an_empty_line_before_a_request_is_overlooked(balancer: Make, packets: list[bytes]) -> None:
    """However it arrives (RFC 9112 §2.2)."""
    with playing(answering(OK)) as server, balancer(server).client() as client:
        for _ in range(2):
            in_packets(client, packets)
            assert client.message() == client_gets(server.id)


@pytest.mark.parametrize(
    "packets",
    [
        [POST + b"\r\n", GET],
        [POST + b"\r\n" + GET],
        [POST, b"\r\n", GET],
        [POST, b"\r\n" + GET],
        [POST[:-4], b"body\r\n", GET],
        [POST[:-4], b"body\r\n" + GET],
        [POST[:-2], b"dy\r\n" + GET],
        [GET + b"\r\n" + GET],
    ],
)
def test_an_empty_line_after_a_request_is_overlooked(balancer: Make, packets: list[bytes]) -> None:
    """Some clients end a body with one that does not belong to it."""
    seen: list[bytes] = []
    with playing(recording(seen)) as server, balancer(server).client() as client:
        in_packets(client, packets)
        for _ in range(2):
            assert client.message() == client_gets(server.id)
    assert [request.split()[0] for request in seen] == [packets[0].split()[0], b"GET"]


def client_gets(server: str) -> bytes:
    return OK.replace(b"\r\n\r\n", b"\r\nX-Forwarded-Server: http://%b\r\n\r\n" % server.encode())


@pytest.mark.parametrize(
    "packets", [[b"\r\n\r\n" + GET], [b"\r\n", b"\r\n"], [b"\r\n\r\n"], [POST + b"\r\n\r\n" + GET]]
)
def test_a_second_empty_line_is_an_error(balancer: Make, packets: list[bytes]) -> None:
    with playing(answering(OK)) as server, balancer(server).client() as client:
        in_packets(client, packets)
        said = client.rest()
    assert said.count(b"HTTP/1.1 ") == 1 + packets[0].startswith(POST)
    assert b"HTTP/1.1 400 Bad Request\r\n" in said
    assert b"more than one empty line before the request line" in said


@pytest.mark.parametrize("before", [[], [POST + b"\r\n"], [GET + b"\r\n"]])
def test_an_empty_line_begins_no_request(balancer: Make, before: list[bytes]) -> None:
    """So a client that waits after it is not told that its head came too slowly."""
    with playing(answering(OK)) as server:
        made = balancer(server, timeouts={"keepAlive": SHORT, "clientHeader": SHORT})
        with made.client() as client:
            in_packets(client, before or [b"\r\n"])
            assert [client.message() for _ in before] == [client_gets(server.id) for _ in before]
            assert client.rest() == b""


def test_a_client_that_speaks_tls_is_told_at_once(balancer: Make) -> None:
    made = balancer()
    hello = tls_hello()
    for packets in ([hello], [hello[:1], hello[1:]], [hello[:100], hello[100:]]):
        with made.client() as client:
            client.send(packets[0])
            said = client.rest()
        assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"this is a plain HTTP port" in said
    assert {call[2] for call in made.meters.calls} == {400}


def tls_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError


def test_a_too_long_target_is_told_in_the_words_of_the_standard(balancer: Make) -> None:
    said = balancer().ask(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 9000))
    assert said.startswith(b"HTTP/1.1 414 URI Too Long\r\n")


def test_who_is_idle_holds_nothing_of_its_last_request(balancer: Make) -> None:
    with playing(answering(OK)) as server:
        made = balancer(server)
        with made.client() as client:
            client.ask(POST)
            (served,) = made.plane._clients._clients
            until(lambda: served.stream.parked, what="the next request")
            assert served.request is None
