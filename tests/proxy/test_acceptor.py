"""Accepting: no more clients than allowed, and a clean end."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from contextlib import ExitStack

import gevent
import pytest
from gevent.event import Event

from tests.proxy.rig import GET, OK, Balancer, Peer, answering, playing, until

Make = Callable[..., Balancer]


def test_more_clients_than_allowed_wait_for_their_turn(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clients": 1})
        with made.client() as first, made.client() as second:
            first.ask()
            second.send(GET)
            gevent.sleep(0.05)
            assert made.clients() == 1
            first.close()
            assert second.message().endswith(b"ok")


def test_an_idle_client_makes_room_for_a_new_one(balancer: Make, caplog: pytest.LogCaptureFixture) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clients": 2})
        with made.client() as first, made.client() as second:
            first.ask()
            asked = made.plane._deadlines.now
            until(lambda: made.plane._deadlines.now > asked, what="a time-out sweep, as ages count in sweeps")
            second.ask()
            with made.client() as third:
                assert third.ask().endswith(b"ok")
            assert first.ended(), "the one that was idle for the longest"
            assert second.ask().endswith(b"ok")
    assert ("closed_idle",) in made.meters.calls
    assert "limits.clients: 2 clients are connected, idle ones are closed to let others in" in caplog.messages


def test_one_that_has_said_nothing_yet_is_idle_too(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clients": 1})
        with made.client() as silent, made.client() as other:
            assert other.ask().endswith(b"ok")
            assert silent.ended()


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\n", GET[:-2]])
def test_one_that_has_begun_a_request_is_not_idle(begun: bytes, balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clients": 2})
        with made.client() as slow, made.client() as idle:
            slow.send(begun)
            until(lambda: made.clients() == 2)
            with made.client() as other:
                assert other.ask().endswith(b"ok")
            assert idle.ended()
            slow.send(GET[len(begun) :])
            assert slow.message().endswith(b"ok")


def test_those_in_flight_leave_after_their_response_while_others_wait(
    balancer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Else clients that ask again and again would keep the others out for ever."""
    may_answer = Event()

    def script(peer: Peer) -> None:
        while peer.message():
            may_answer.wait()
            peer.send(OK)

    with playing(script) as server:
        made = balancer(server, limits={"clients": 1})
        with made.client() as busy, made.client() as waiting:
            busy.send(GET)
            until(lambda: made.connections() == 1)
            waiting.send(GET)
            until(lambda: made.plane._relay.stopping)
            may_answer.set()
            response = busy.message()
            assert b"\r\nConnection: close\r\n" in response
            assert response.endswith(b"ok")
            assert busy.ended()
            busy.close()
            response = waiting.message()
            assert response.endswith(b"ok")
            assert b"Connection: close" not in response, "nobody waits any more"
    assert "limits.clients: 1 clients are connected, and none is idle: others wait" in caplog.messages


def test_many_clients_share_few_places_without_an_error(
    balancer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them keep their connections; each is answered, and the log has a line for each kind."""
    with playing(answering()) as server:
        made = balancer(server, limits={"clients": 4})

        answers = []

        def client() -> None:
            with made.client() as peer:
                answers.append(peer.ask())
                peer.ended()  # it stays until it is closed

        clients = [gevent.spawn(client) for _ in range(40)]
        until(lambda: len(answers) == 40)
        assert all(answer.endswith(b"ok") for answer in answers)
        gevent.killall(clients)
    assert len(caplog.messages) <= 2


def test_an_address_has_no_more_connections_than_it_may(
    balancer: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clientsPerAddress": 2})
        with made.client() as first, made.client() as second:
            first.ask()
            second.ask()
            for _ in range(3):
                with made.client() as third:
                    response = third.ask()
                    assert response.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
                    assert b"\r\nRetry-After: 1\r\n" in response
                    assert third.ended()
            first.close()
            until(lambda: made.clients() == 1)
            with made.client() as third:
                assert third.ask().endswith(b"ok")
            assert second.ask().endswith(b"ok")
    assert made.meters.calls.count(("refused",)) == 3
    line = "limits.clientsPerAddress: 127.0.0.1 has 2 connections, more are answered 429"
    assert caplog.messages == [line]


def test_a_refused_client_that_sends_on_sees_why(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clientsPerAddress": 1})
        with made.client() as first, made.client() as second:
            first.ask()
            second.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n" + bytes(8_000_000))
            assert second.message().startswith(b"HTTP/1.1 429 ")


def test_refused_clients_hold_few_places(balancer: Make) -> None:
    with playing(answering()) as server, ExitStack() as stack:
        made = balancer(server, limits={"clientsPerAddress": 1})
        stack.enter_context(made.client()).ask()
        for _ in range(100):
            stack.enter_context(made.client())
        until(lambda: made.meters.calls.count(("refused",)) == 100)
        until(lambda: made.clients() <= 1 + 32)


def test_trusted_proxies_have_as_many_as_they_like(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clientsPerAddress": 1}, trustedProxies=["127.0.0.0/8"])
        with made.client() as first, made.client() as second:
            assert first.ask().endswith(b"ok")
            assert second.ask().endswith(b"ok")


def test_out_of_descriptors_it_pauses_each_time_anew(
    balancer: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    class Exhausted:
        """The listening socket of a process that cannot open another descriptor."""

        def __getattr__(self, name: str) -> object:
            return getattr(listener, name)

        def _accept(self) -> None:
            tries.append(1)
            raise OSError(errno.EMFILE, "Too many open files")

    with playing(answering()) as server:
        made = balancer(server)
        acceptor = made.plane._acceptor
        listener = acceptor._listener
        monkeypatch.setattr(acceptor, "_listener", Exhausted())
        with made.client() as client:
            client.send(GET)
            gevent.sleep(0.35)
            assert 2 <= len(tries) <= 4  # one each 100 ms
            assert caplog.messages == ["cannot accept: Too many open files"]
            monkeypatch.setattr(acceptor, "_listener", listener)
            assert client.message().endswith(b"ok")


def test_stopping_while_full_is_no_error(balancer: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"clients": 1})
        with made.client() as first, made.client():
            first.ask()
            gevent.sleep(0.02)
            made.plane._acceptor.stop()
            first.close()
            until(lambda: made.clients() == 0)
    assert "Traceback" not in capsys.readouterr().err


def test_a_greenlet_serves_one_client_after_another_until_the_end(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server)
        acceptor = made.plane._acceptor
        seen = set()
        for _ in range(3):
            with made.client() as client:
                client.ask()
            until(lambda: made.clients() == 0)
            seen.update(map(id, acceptor._idle))
        assert len(seen) == 1
        ended = weakref.ref(acceptor._idle[0])
        acceptor.stop()
        until(lambda: ended() is None)
