"""Each request is counted once, as what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import pytest

from lb.proxy.body import chunk, last_chunk
from lb.proxy.exchange import NO_SERVER
from tests.proxy.rig import (
    GET,
    OK,
    SHORT,
    Balancer,
    Peer,
    answering,
    endless,
    playing,
    refused_port,
    saying,
    slowly,
    until,
)

Make = Callable[..., Balancer]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        CHUNKED + chunk(b"one") + last_chunk(b""),
    ],
)
def test_an_answer_is_counted_with_its_server_and_status(balancer: Make, answer: bytes) -> None:
    with playing(answering(answer)) as server:
        made = balancer(server)
        with made.client() as client:
            for _ in range(3):
                client.send(GET)
                client.head()
                client.exactly(answer.count(b"one") * 13 + answer.count(b"ok") * 2)
        until(lambda: len(made.meters.calls) == 3)
        assert set(made.meters.calls) == {("answered", server.id, int(answer[9:12]))}
        assert all(0 < seconds < 5 for seconds in made.meters.seconds)


def test_an_answer_in_one_write_is_counted_before_the_client_has_it(balancer: Make) -> None:
    with playing(answering(OK)) as server:
        made = balancer(server)
        with made.client() as client:
            for number in range(1, 20):
                client.ask()
                assert len(made.meters.calls) == number


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 9000), 414),
        (b"GET / HTTP/1.1\r\nHos", 408),
        (GET, 503),
    ],
)
def test_an_answer_of_our_own_has_no_server(balancer: Make, said: bytes, status: int) -> None:
    made = balancer(timeouts={"clientHeader": SHORT})
    assert made.ask(said).startswith(b"HTTP/1.1 %d " % status)
    assert made.meters.calls == [("answered", NO_SERVER, status)]
    assert made.meters.seconds[0] < 5


def test_a_client_that_asks_for_nothing_is_not_counted(balancer: Make) -> None:
    with playing(answering(OK)) as server:
        made = balancer(server, timeouts={"keepAlive": SHORT})
        with made.client() as client:
            client.ask()
            assert client.ended()
        made.client().close()
        until(lambda: not made.clients())
        assert made.meters.calls == [("answered", server.id, 200)]


def test_an_attempt_that_another_one_follows_is_a_retry(balancer: Make) -> None:
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with refused_port() as refusing, playing(answering(busy)) as server:
        made = balancer(refusing, server)
        made.ask()
        *retries, last = made.meters.calls
        assert retries == [("retried", refusing if last[1] == server.id else server.id)]
        assert last in [("answered", server.id, 503), ("answered", NO_SERVER, 502)]


def test_a_response_that_breaks_off_is_cut(balancer: Make) -> None:
    with playing(saying(CHUNKED + b"5\r\nabc")) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            client.head()
            client.exactly(8)
            assert client.ended()
        assert made.meters.calls == [("cut", server.id)]


def test_a_client_that_leaves_in_the_middle_of_a_body_is_gone(balancer: Make) -> None:
    with playing(endless) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            client.head()
        until(lambda: made.meters.calls == [("client_gone", server.id)])


def test_a_client_that_leaves_before_its_answer_is_gone(balancer: Make) -> None:
    asked = gevent.event.Event()

    def silent(peer: Peer) -> None:
        peer.message()
        asked.set()
        peer.message()

    with playing(silent) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            asked.wait()
        until(lambda: made.meters.calls == [("client_gone", server.id)])


def test_a_switch_of_protocols_is_an_answer(balancer: Make) -> None:
    def switching(peer: Peer) -> None:
        peer.message()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        peer.send(peer.exactly(2))

    with playing(switching) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            client.head()
            assert made.meters.calls == [("answered", server.id, 101)]
            client.send(b"hi")
            assert client.exactly(2) == b"hi"
        assert len(made.meters.calls) == 1


def test_time_is_counted_from_the_head(balancer: Make) -> None:
    with playing(slowly) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET[:-2])
            gevent.sleep(0.1)
            began = time.monotonic()
            client.ask(GET[-2:])
            took = time.monotonic() - began
        assert 0.09 <= made.meters.seconds[0] <= took
