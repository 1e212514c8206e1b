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


@contextmanager
def answered_by_one_who_retires(balancer: Make) -> Iterator[tuple[Balancer, SlowClient]]:
    """A worker that has sent all of its last answer, and a client that has taken its head."""
    with playing(answering(LARGE)) as server:
        made = balancer(server)
        with SlowClient(made.address) as client:
            until(lambda: made.clients() == 1)
            retiring = gevent.spawn(made.plane.retire, 10)
            gevent.sleep(0)
            client.send(GET)
            assert b"\r\nConnection: close\r\n" in client.head()
            until(lambda: not made.connections(), what="the end of the request")
            yield made, client
        assert retiring.get() == 0


def test_a_request_that_comes_too_late_does_not_destroy_the_answer_before_it(balancer: Make) -> None:
    with answered_by_one_who_retires(balancer) as (_, client):
        for _ in range(50):
            client.send(GET)
            gevent.sleep(0)  # in packets of their own
        assert client.rest() == BODY


def test_who_takes_the_answer_slowly_is_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.1)
    with answered_by_one_who_retires(balancer) as (made, client):
        taken = b""
        for _ in range(10):
            taken += client.exactly(16 << 10)
            gevent.sleep(0.05)
        assert made.clients() == 1
        client.send(GET)
        assert taken + client.rest() == BODY


def test_who_takes_nothing_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGER_SECONDS", 0.1)
    with answered_by_one_who_retires(balancer) as (made, client):
        until(lambda: not made.clients())
        assert client.rest() == BODY


def test_who_leaves_is_not_waited_for(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linger, "LINGER_SECONDS", 60)
    with answered_by_one_who_retires(balancer) as (made, client):
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
    with answered_by_one_who_retires(balancer) as (made, client):
        with suppress(ConnectionError):
            while made.clients():
                client.send(b"x" * 65536)
        until(lambda: not made.clients())
