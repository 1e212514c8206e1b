"""The last answer arrives, whatever its client sends meanwhile; and nobody is waited for without need."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import gevent.socket
import pytest

from lb.proxy import linger
from tests.proxy.rig import GET, SHORT, Balancer, Peer, answering, playing, until

Make = Callable[..., Balancer]

BODY = b"x" * (256 << 10)
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


class SlowClient(Peer):
    """A client that holds little of an answer: the rest waits in our side's kernel until it is taken."""

    def __init__(self, address: Any) -> None:
        sock = gevent.socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(address)
        super().__init__(sock)


def retires(made: Balancer) -> int:
    return made.plane.retire(10)


def stops(made: Balancer) -> int:
    return made.plane.stop(10)


@contextmanager
def answered_by_one_who(
    ends: Callable[[Balancer], int], balancer: Make
) -> Iterator[tuple[Balancer, SlowClient]]:
    """A worker that has sent all of its last answer, and a client that has taken its head."""
    with playing(answering(LARGE)) as server:
        made = balancer(server)
        with SlowClient(made.address) as client:
            until(lambda: made.clients() == 1)
            ending = gevent.spawn(ends, made)
            gevent.sleep(0)
            client.send(GET)
            assert b"\r\nConnection: close\r\n" in client.head()
            until(lambda: not made.connections(), what="the end of the request")
            yield made, client
        assert ending.get() == 0


def test_a_request_that_comes_too_late_does_not_destroy_the_answer_before_it(balancer: Make) -> None:
    with answered_by_one_who(retires, balancer) as (_, client):
        for _ in range(50):
            client.send(GET)
            gevent.sleep(0)  # in packets of their own
        assert client.rest() == BODY


def test_who_takes_the_answer_slowly_is_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "SILENCE_SECONDS", 0.1)
    with answered_by_one_who(retires, balancer) as (made, client):
        taken = b""
        for _ in range(10):
            taken += client.exactly(16 << 10)
            gevent.sleep(0.05)
        assert made.clients() == 1
        client.send(GET)
        assert taken + client.rest() == BODY


def test_who_takes_nothing_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "SILENCE_SECONDS", 0.1)
    with answered_by_one_who(retires, balancer) as (made, client):
        until(lambda: not made.clients())
        assert client.rest() == BODY


def test_who_leaves_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "SILENCE_SECONDS", 60)
    with answered_by_one_who(retires, balancer) as (made, client):
        assert client.rest() == BODY
        client.close()
        until(lambda: not made.clients())


def test_who_announced_its_end_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "SILENCE_SECONDS", 60)
    with playing(answering(LARGE)) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert client.rest().endswith(BODY)
            until(lambda: not made.clients())


def test_a_flood_after_the_last_answer_is_cut(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, though it is never silent."""
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.3)
    with answered_by_one_who(retires, balancer) as (made, client):
        with suppress(ConnectionError):
            while made.clients():
                client.send(b"x" * 65536)
        until(lambda: not made.clients())


def test_a_worker_that_stops_waits_for_who_takes_the_answer_or_still_sends(balancer: Make) -> None:
    with answered_by_one_who(stops, balancer) as (made, client):
        until(lambda: made.plane._clients.stopping)
        gevent.sleep(0.1)
        assert made.clients() == 1
        for _ in range(50):
            client.send(GET)
            gevent.sleep(0)
        assert client.rest() == BODY
        gevent.sleep(0.1)
        assert made.clients() == 1


def test_a_worker_that_stops_does_not_wait_for_who_has_all(
    balancer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may keep its side open for as long as it likes."""
    monkeypatch.setattr(linger, "SILENCE_SECONDS", 60)
    with answered_by_one_who(stops, balancer) as (made, client):
        assert client.rest() == BODY
        until(lambda: not made.clients())


REFUSAL = b"HTTP/1.1 401 Who are you\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024
HUGE = 32 << 20


def refuses_and_closes(peer: Peer) -> None:
    peer.head()
    peer.send(REFUSAL)
    peer.close()


def refuses_and_stays(peer: Peer) -> None:
    peer.head()
    peer.send(REFUSAL)
    peer.ended()


def blindly(act: Callable[[], object]) -> None:
    """Have a client act in a thread of its own, as one that reads nothing before it has sent all."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # told in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(lambda: not thread.is_alive(), seconds=14, what="the client")
    if failures:
        raise failures[0]


@pytest.mark.parametrize(
    ("script", "status"), [(refuses_and_closes, 401), (refuses_and_stays, 401), (Peer.rest, 413)]
)
@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_all_of_a_body_before_it_reads_gets_an_early_answer(
    balancer: Make, script: Callable[[Peer], object], status: int, chunked: bool
) -> None:
    """Be it the server's or the balancer's own."""

    def upload() -> None:
        for expect in ({}, {"Expect": "100-continue"}):
            connection = http.client.HTTPConnection(*made.address, timeout=10)
            body = iter([bytes(65536)] * (HUGE // 65536)) if chunked else bytes(HUGE)
            connection.request("POST", "/", body, expect, encode_chunked=chunked)
            response = connection.getresponse()
            assert response.status == status
            assert len(response.read()) == int(response.headers["Content-Length"])
            connection.close()

    with playing(script) as server:
        made = balancer(server, limits={"bodyBytes": 1 << 20} if status == 413 else {})
        blindly(upload)


@pytest.mark.parametrize(
    "request_of",
    [
        lambda rest: b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + rest,  # 400
        lambda rest: b"GET / HTTP/1.1\r\nHost: a\r\nX: " + rest,  # 431
        lambda rest: b"GET /" + rest.replace(b"\0", b"x"),  # 414
        lambda rest: b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n" + rest,
        lambda rest: b"\x16" + rest,  # TLS
        lambda rest: GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + rest,
        lambda rest: b"GET / HTTP/1.0\r\n\r\n" + rest,
    ],
    ids=["400", "431", "414", "chunk", "tls", "close", "1.0"],
)
def test_who_sends_much_behind_its_last_request_gets_the_answer(
    balancer: Make, request_of: Callable[[bytes], bytes]
) -> None:
    def flood() -> None:
        with socket.create_connection(made.address, 10) as client:
            client.sendall(request_of(bytes(8 << 20)))
            answer = b""
            while more := client.recv(65536):
                answer += more
            assert answer.startswith(b"HTTP/1.1 ")
            assert b"\r\nConnection: close" in answer

    with playing(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        made = balancer(server)
        for _ in range(3):
            blindly(flood)


def test_requests_behind_the_last_one_do_not_destroy_its_answer(balancer: Make) -> None:
    def flood() -> None:
        with socket.create_connection(made.address, 10) as client:
            client.sendall(GET * 100_000)
            answer = b""
            while more := client.recv(65536):
                answer += more
            assert answer.count(b"HTTP/1.1 200 ") == 2

    with playing(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        made = balancer(server, limits={"keepAliveRequests": 2})
        for _ in range(3):
            blindly(flood)


def test_no_more_than_a_share_of_the_clients_is_lingered_for(
    balancer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has had the most time makes room."""
    monkeypatch.setattr(linger, "SILENCE_SECONDS", 60)
    with playing(answering()) as server:
        made = balancer(server, limits={"clients": 8})
        clients = [made.client() for _ in range(3)]
        for client in clients:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
            assert client.rest().startswith(b"HTTP/1.1 400 ")
        until(lambda: made.clients() == 2)
        clients[0].send(b"x")
        assert clients[0].ended()
        for client in clients:
            client.close()


def test_clients_that_send_without_end_leave_the_others_their_turn(
    balancer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they send is dropped a piece at a time, with pauses that grow with their number."""
    monkeypatch.setattr(linger, "_PAUSE_SECONDS", 1)

    def flood() -> None:
        with socket.create_connection(made.address) as client:
            client.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.sendall(b"POST / HTTP/1.1\r\nHost: a b\r\n\r\n" + bytes(64 << 20))

    with playing(answering()) as server:
        made = balancer(server)
        blindly(flood)


def test_a_slow_answer_is_not_idle(balancer: Make) -> None:
    """The time between two requests begins when the client has the answer, not when the kernel has it."""
    with playing(answering(LARGE)) as server:
        made = balancer(server, timeouts={"keepAlive": SHORT})
        with SlowClient(made.address) as client:
            client.send(GET)
            client.head()
            taken = b""
            for _ in range(10):
                taken += client.exactly(16 << 10)
                gevent.sleep(0.1)
            client.send(GET)
            assert taken + client.rest() == BODY


def refused_upload(made: Balancer, size: int, answers: list[int]) -> threading.Thread:
    """Begin an upload that is refused at once; its client reads when all is sent."""

    def upload() -> None:
        connection = http.client.HTTPConnection(*made.address, timeout=10)
        with suppress(OSError):
            connection.request("POST", "/", (bytes(65536) for _ in range(size // 65536)), encode_chunked=True)
            answers.append(connection.getresponse().status)
        connection.close()

    thread = threading.Thread(target=upload, daemon=True)
    thread.start()
    until(lambda: made.meters.calls, what="the refusal")
    return thread


def test_a_worker_that_stops_leaves_an_upload_that_it_refused_its_time(balancer: Make) -> None:
    answers: list[int] = []
    with playing(Peer.rest) as server:
        made = balancer(server, limits={"bodyBytes": 1 << 20})
        thread = refused_upload(made, HUGE, answers)
        assert made.plane.stop(10) == 0
        until(lambda: not thread.is_alive())
    assert answers == [413]


def test_a_worker_that_stops_waits_no_longer_than_it_was_given(balancer: Make) -> None:
    with playing(Peer.rest) as server:
        made = balancer(server, limits={"bodyBytes": 1 << 20})
        thread = refused_upload(made, 1 << 40, [])
        assert made.plane.stop(0.5) == 1
        for stream in list(made.plane._acceptor.clients):
            stream.close()
        until(lambda: not thread.is_alive())
