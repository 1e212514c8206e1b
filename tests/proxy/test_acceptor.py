"""Accepting: no more clients than allowed, and a clean end."""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable

import gevent
import pytest

from tests.proxy.rig import GET, Balancer, answering, playing, until

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
