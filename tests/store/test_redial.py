"""Redial: each attempt later than the one before, and each failure told, until one succeeds."""

from __future__ import annotations

import socket

import gevent.event
import pytest

from lb.errors import StoreUnavailableError
from lb.store import redial
from lb.store.redial import Redial


def test_it_dials_until_it_succeeds_and_tells_each_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = iter([OSError("refused"), StoreUnavailableError("loading"), socket.socket()])
    pauses: list[float] = []
    failures: list[str] = []
    connected = gevent.event.AsyncResult()

    def dial() -> socket.socket:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(redial, "uniform", lambda low, high: 1.0)
    monkeypatch.setattr(redial, "sleep", pauses.append)
    Redial(dial, connected.set, failures.append).start()
    with connected.get(timeout=5):
        assert failures == ["refused", "loading"]
        assert pauses == [0.0, 0.01, 0.02]


def test_no_pause_is_longer_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Redial(socket.socket, lambda sock: sock.close(), pytest.fail)
    line.delay_seconds = 0.7
    monkeypatch.setattr(redial, "sleep", lambda seconds: None)
    line._run()
    assert line.delay_seconds == 1.0
