"""The data plane as a whole: how it stops, and what it does when the pool changes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import gevent
import pytest

from lb.model import ServerId
from lb.proxy import addresses
from lb.proxy.descriptors import Budget
from tests.proxy.rig import GET, OK, Balancer, Peer, answering, playing, slowly, until

Make = Callable[..., Balancer]


def test_stopping_lets_requests_finish_and_takes_no_other(balancer: Make) -> None:
    with playing(slowly) as server:
        made = balancer(server)
        with made.client() as busy, made.client() as idle:
            busy.send(GET)
            until(lambda: made.connections() == 1)
            assert made.plane.stop(5) == 0
            assert b"\r\nConnection: close\r\n" in busy.message()
            assert busy.rest() == b""
            assert idle.ended()
        with pytest.raises(OSError, match="refused"):
            gevent.socket.create_connection(made.address)


def test_clients_that_wait_to_be_accepted_are_served_before_the_end(balancer: Make) -> None:
    """Closing the socket that they wait on would reset them, though they were not refused."""
    with playing(answering(OK)) as server:
        made = balancer(server)
        waiting = [socket.create_connection(made.address) for _ in range(40)]  # without a turn of the loop
        for client in waiting:
            client.sendall(GET)
        assert made.clients() == 0
        assert made.plane.stop(5) == 0
        for client in waiting:
            with client:
                assert b"\r\nConnection: close\r\n" in client.recv(65536)


def test_a_client_between_two_requests_may_send_one_more_before_the_end(balancer: Make) -> None:
    """Its response tells it to connect anew; who sends none is closed within about a second."""
    with playing(answering(OK)) as server:
        made = balancer(server)
        with made.client() as busy, made.client() as idle:
            assert b"Connection" not in busy.ask() + idle.ask()
            stopping = gevent.spawn(made.plane.stop, 5)
            gevent.sleep(0.1)
            assert b"\r\nConnection: close\r\n" in busy.ask()
            assert busy.rest() == b""
            assert not stopping.ready()
            assert idle.ended()
            assert stopping.get() == 0


def test_a_request_that_has_come_when_its_client_is_to_be_closed_is_served(balancer: Make) -> None:
    with playing(answering(OK)) as server:
        made = balancer(server)
        with made.client() as client:
            client.ask()
            stopping = gevent.spawn(made.plane.stop, 5)
            until(lambda: made.plane._acceptor._listener.fileno() < 0)
            client.send(GET)
            made.plane._clients.stopping = True
            made.plane._close_idle()
            assert b"\r\nConnection: close\r\n" in client.message()
        assert stopping.get() == 0


def test_a_stop_without_a_limit_closes_who_is_idle_at_once(balancer: Make) -> None:
    with playing(answering(OK)) as server:
        made = balancer(server)
        with made.client() as idle:
            idle.ask()
            began = time.monotonic()
            made.plane.stop(0)
            assert idle.ended()
            assert time.monotonic() - began < 5


def test_stopping_cuts_what_takes_too_long_and_tells_how_many(balancer: Make) -> None:
    with playing(lambda peer: peer.ended()) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            until(lambda: made.connections() == 1)
            assert made.plane.stop(0.05) == 1


def test_a_server_that_left_the_pool_finishes_its_requests_and_is_let_go(balancer: Make) -> None:
    answers = gevent.event.Event()
    ended: list[bool] = []

    def waits(peer: Peer) -> None:
        peer.message()
        answers.wait()
        peer.send(OK)
        ended.append(peer.ended())

    with playing(waits) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            until(lambda: server.connections == 1)
            made.plane.keep_only([])
            answers.set()
            assert client.message().endswith(b"ok")
        until(lambda: ended == [True])


def test_connections_to_servers_keep_within_their_share_of_descriptors(balancer: Make) -> None:
    """Idle ones are closed for another, whichever server they go to."""
    with playing(answering()) as one, playing(answering()) as two, playing(answering()) as three:
        made = balancer(one, two, three)
        made.plane._budget = Budget(clients=2, servers=2)
        with made.client() as client:
            for _ in range(6):
                assert client.ask().endswith(b"ok")
                assert len(made.plane._deadlines.streams) <= 1 + 2
        assert one.connections + two.connections + three.connections > 3, "some were closed"


def test_an_address_that_is_left_out_gets_no_request(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a kept connection either, nor by one that is in use meanwhile."""
    name = ServerId("many.example:80")
    sick_answer = OK.replace(b"200 OK", b"500 Oops")
    with playing(answering()) as well, playing(answering(sick_answer)) as sick, ExitStack() as stack:
        ports = [int(server.id.rpartition(":")[2]) for server in (well, sick)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: found)
        made = balancer(name)
        clients = [stack.enter_context(made.client()) for _ in range(4)]
        for client in clients:
            client.send(GET)
        answers = [client.message() for client in clients]
        assert {answer[9:12] for answer in answers} == {b"200", b"500"}
        made.plane.keep_only([name], {name: frozenset({sick.id})})
        assert {client.ask()[9:12] for client in clients for _ in range(4)} == {b"200"}
        well_connections = well.connections
        made.plane.keep_only([name], {})
        for client in clients:
            client.send(GET)
        assert {client.message()[9:12] for client in clients} == {b"200", b"500"}
        assert well.connections > well_connections
