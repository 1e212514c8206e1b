"""The last answer arrives, whatever its client sends meanwhile; and nobody is waited for without need."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import gevent.socket
import pytest

from lb.proxy import linger
from tests.proxy.rig import GET, Balancer, Peer, answering, playing, until

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
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.1)
    with answered_by_one_who(retires, balancer) as (made, client):
        taken = b""
        for _ in range(10):
            taken += client.exactly(16 << 10)
            gevent.sleep(0.05)
        assert made.clients() == 1
        client.send(GET)
        assert taken + client.rest() == BODY


def test_who_takes_nothing_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.1)
    with answered_by_one_who(retires, balancer) as (made, client):
        until(lambda: not made.clients())
        assert client.rest() == BODY


def test_who_leaves_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGER_SECONDS", 60)
    with answered_by_one_who(retires, balancer) as (made, client):
        assert client.rest() == BODY
        client.close()
        until(lambda: not made.clients())


def test_who_announced_its_end_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGER_SECONDS", 60)
    with playing(answering(LARGE)) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert client.rest().endswith(BODY)
            until(lambda: not made.clients())


def test_a_flood_after_the_last_answer_is_cut(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGER_SECONDS", 60)
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
    monkeypatch.setattr(linger, "LINGER_SECONDS", 60)
    with answered_by_one_who(stops, balancer) as (made, client):
        assert client.rest() == BODY
        until(lambda: not made.clients())
