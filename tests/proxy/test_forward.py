"""What a client sees when things fail: each line of the contract, on real sockets and the real store."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import ClassVar

import gevent
import pytest

from lb.model import ServerId
from lb.proxy.choice import Chooser
from lb.proxy.exchange import Unmetered
from lb.proxy.http1 import HeadParser, Request, ResponseHead
from lb.store.lease import Lease
from tests.proxy.rig import (
    DATE,
    GET,
    SHORT,
    SHORT_SECONDS,
    Balancer,
    Peer,
    answering,
    deserted,
    playing,
    recording,
    refused_port,
    saying,
    until,
)

Make = Callable[..., Balancer]

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
UNAVAILABLE = b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy"


def close_at_once(peer: Peer) -> None:
    peer.message()
    peer.close()


def silence(peer: Peer) -> None:
    peer.message()
    peer.ended()


def trickled_head(peer: Peer) -> None:
    peer.message()
    while True:
        peer.send(b"HTTP/1.1 200 OK"[:1])
        gevent.sleep(0.05)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (True, b"X-Served-By: app\r\nX-Forwarded-Server: http://%b"),
        ("X-Served-By", b"X-Forwarded-Server: another\r\nX-Served-By: http://%b"),
        (False, b"X-Served-By: app\r\nX-Forwarded-Server: another"),
    ],
)
def test_the_client_is_told_who_answered_as_it_is_set(
    balancer: Make, setting: bool | str, expected: bytes
) -> None:
    own = b"X-Served-By: app\r\nX-Forwarded-Server: another\r\n"
    answer = b"HTTP/1.1 200 OK\r\n%b%b\r\nContent-Length: 2\r\n\r\nok"
    with playing(recording([], answer % (own, DATE))) as server:
        response = balancer(server, serverHeader=setting).ask()
    lines = [line for line in response.split(b"\r\n") if line.startswith(b"X-")]
    assert lines == expected.replace(b"%b", server.id.encode()).split(b"\r\n")
    assert response.endswith(b"\r\n\r\nok")


def test_a_request_is_forwarded_and_answered(balancer: Make) -> None:
    requests: list[bytes] = []
    with playing(
        recording(requests, b"HTTP/1.1 200 Fine\r\nX-a: 1\r\n%b\r\nContent-Length: 2\r\n\r\nok" % DATE)
    ) as server:
        made = balancer(server, requestId=False)
        response = made.ask(b"POST /p?q HTTP/1.1\r\nHost: h:1\r\nX-B:  2 \r\nContent-Length: 3\r\n\r\nabc")
    assert response == (
        b"HTTP/1.1 200 Fine\r\nX-a: 1\r\n%b\r\nContent-Length: 2\r\nX-Forwarded-Server: http://%b\r\n\r\nok"
        % (DATE, server.id.encode())
    )
    assert len(requests) == 1
    assert requests[0] == (
        b"POST /p?q HTTP/1.1\r\nHost: h:1\r\nX-B:  2 \r\nContent-Length: 3\r\nX-Forwarded-For: 127.0.0.1"
        b"\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: h:1\r\n\r\nabc"
    )


def test_a_server_that_refuses_is_passed_over_for_every_method(balancer: Make) -> None:
    with playing(answering()) as server, refused_port() as refusing:
        made = balancer(refusing, server, passiveHealth={"failures": 0})
        for request in (GET, POST, PUT):
            for _ in range(2):
                assert made.ask(request).endswith(b"ok")
        assert made.failures(refusing) >= 3


def test_if_all_refuse_the_client_gets_502(balancer: Make) -> None:
    with refused_port() as one, refused_port() as another:
        response = balancer(one, another).ask()
    assert response.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"\r\nConnection: close\r\n" in response


def test_no_connection_in_time_is_504(balancer: Make) -> None:
    """A server whose queue of connections is full does not take more."""
    with socket.socket() as listener, socket.socket() as queued:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        queued.connect(listener.getsockname())
        port = listener.getsockname()[1]
        response = balancer(f"127.0.0.1:{port}", timeouts={"connect": SHORT}).ask(POST)
    assert response.startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize("silent", [silence, trickled_head], ids=lambda script: script.__name__)
def test_a_server_that_falls_silent_is_504_and_nobody_else_is_asked(
    balancer: Make, silent: Callable[[Peer], None]
) -> None:
    with playing(silent) as bad, playing(answering()) as good:
        made = balancer(bad, good, timeouts={"responseHead": SHORT})
        began = time.monotonic()
        assert made.ask().startswith(b"HTTP/1.1 504 ")
        assert SHORT_SECONDS <= time.monotonic() - began < 20  # not the default's 60
        assert not good.connections
        assert made.failures(bad.id) == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_answer_that_says_try_again_goes_to_another_server(balancer: Make, status: int) -> None:
    with playing(answering(UNAVAILABLE.replace(b"503", b"%d" % status))) as bad, playing(answering()) as good:
        made = balancer(bad, good)
        with made.client() as client:
            assert client.ask(PUT).endswith(b"\r\n\r\nok")
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert client.rest().count(b"HTTP/1.1 ") == 1
        assert made.failures(bad.id) == 0


def test_a_route_that_answers_503_takes_no_server_away_from_the_others(balancer: Make) -> None:
    with playing(answering(UNAVAILABLE)) as one, playing(answering(UNAVAILABLE)) as another:
        made = balancer(one, another)
        with made.client() as client:
            for _ in range(100):
                assert client.ask().endswith(b"\r\n\r\nbusy")
        assert made.events.failures == []


@pytest.mark.parametrize("retry_on", [[502, 503, 504], []])
def test_a_status_that_the_settings_name_counts_as_a_failure(balancer: Make, retry_on: list[int]) -> None:
    with playing(answering(UNAVAILABLE)) as server:
        made = balancer(server, retryOn=retry_on, passiveHealth={"statuses": [503], "failures": 9})
        for _ in range(3):
            assert made.ask().endswith(b"\r\n\r\nbusy")
        assert made.failures(server.id) == 3


def test_an_answer_that_says_try_again_does_not_end_a_series_of_failures(balancer: Make) -> None:
    """It proves neither that the server works nor that it does not; any other answer does."""
    busy, broken = (saying(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status) for status in (503, 500))
    with playing(close_at_once, busy, close_at_once, broken) as server:
        made = balancer(server, maxRetries=0)
        counts = []
        for _ in range(4):
            made.ask()
            counts.append(made.failures(server.id))
        assert counts == [1, 1, 2, 0]


def test_an_answer_that_says_try_again_is_final_for_other_methods(balancer: Make) -> None:
    with playing(answering(UNAVAILABLE)) as bad, playing(answering()) as good:
        assert balancer(bad, good).ask(POST).endswith(b"\r\n\r\nbusy")
        assert not good.connections


def test_if_all_say_try_again_the_last_answer_is_the_clients(balancer: Make) -> None:
    with playing(answering(UNAVAILABLE)) as one, playing(answering(UNAVAILABLE)) as another:
        made = balancer(one, another)
        with made.client() as client:
            assert client.ask().endswith(b"\r\n\r\nbusy")
            assert client.ask(POST).endswith(b"\r\n\r\nbusy")  # the connection is at a clean place
        assert 2 <= one.connections + another.connections <= 3


def test_max_retries_limits_the_attempts(balancer: Make) -> None:
    with playing(close_at_once) as one, playing(close_at_once) as two, playing(answering()) as three:
        assert balancer(one, two, three, maxRetries=1).ask().startswith(b"HTTP/1.1 502 ")
        assert not three.connections


def test_no_server_is_503_with_retry_after(balancer: Make) -> None:
    response = balancer(healthCheckInterval="2s").ask()
    assert response.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 2\r\n" in response


def test_a_client_that_leaves_long_after_its_keep_alive_time_is_still_noticed(balancer: Make) -> None:
    left: list[bool] = []
    with playing(deserted(left)) as server:
        made = balancer(server, timeouts={"keepAlive": "50ms"})
        with made.client() as client:
            client.send(GET)
            until(lambda: server.connections == 1)
            gevent.sleep(0.2)  # nothing happens, and that is the point
        until(lambda: left == [True])


def test_a_held_answer_is_dropped_if_the_wait_for_another_server_breaks_off() -> None:
    """As a WSGI server's time-out does it: the 503 in hand is nobody's any more, nor is its lease."""
    dropped: list[Lease] = []

    @dataclass
    class Held:
        lease: Lease
        head: ResponseHead

        def drop(self) -> None:
            dropped.append(self.lease)

    class Line:
        released: ClassVar[list[Lease]] = []

        def lease(self, excluded: Collection[ServerId] = ()) -> Lease:
            if excluded:
                raise TimeoutError
            return Lease(ServerId("a:1"), 0.0)

        def release(self, lease: Lease) -> None:
            self.released.append(lease)

    class Busy:
        def attempt(self, client: object, request: Request, lease: Lease) -> Held:
            return Held(lease, HeadParser(9).response(UNAVAILABLE.partition(b"busy")[0]))

    chooser = Chooser[object, Request, Held](
        Line(), Busy(), Unmetered(), max_retries=3, retry_on=frozenset({503})
    )
    with pytest.raises(TimeoutError):
        chooser.choose(None, HeadParser(9).request(GET))
    assert len(dropped) == 1
    assert Line.released == dropped
