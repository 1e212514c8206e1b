"""Accepting: no more clients than allowed, and a clean end."""

from __future__ import annotations

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
