"""A worker is a member of the fleet that accepts clients; how it ends, tests/integration shows."""

from __future__ import annotations

import socket
from contextlib import suppress
from http.client import HTTPConnection

import gevent
import pytest
from gevent.event import Event

from lb.config import Config
from lb.errors import StoreError
from lb.processes import control
from lb.processes import worker as module
from lb.processes.control import Control
from lb.processes.member import Member
from lb.processes.worker import Worker
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.proxy.rig import until


def settings(keys: Keys, url: str) -> Config:
    return Config.model_validate({"redis": url, "keyPrefix": keys.prefix})


def test_a_worker_joins_serves_and_leaves(
    pool: BackendPool, fleet: Fleet, keys: Keys, store_url: str
) -> None:
    pool.reconcile([], "round-robin", "test")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        worker = Worker(settings(keys, store_url), listener)
        worker.start()
        until(lambda: [known.id for known in fleet.workers()] == [worker.member.id])
        assert gevent.get_hub().threadpool.apply(_status, (port,)) == 503
        worker.finish()
    assert fleet.workers() == []


def test_a_worker_without_supervisor_needs_the_store(keys: Keys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Worker(settings(keys, "redis://127.0.0.1:1"), listener)
        with pytest.raises(StoreError):
            worker.start()
        worker.finish()


def test_who_waits_for_the_store_gives_signs_of_life(
    pool: BackendPool, keys: Keys, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as for a name server that does not answer: the supervisor would kill all workers for that."""
    pool.reconcile([], "round-robin", "test")
    monkeypatch.setattr(control, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(gevent, "signal_handler", lambda *_: None)
    monkeypatch.setattr(Member, "beat", lambda _: Event().wait())
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        running = gevent.spawn(module.run, settings(keys, store_url), listener, Control(theirs.fileno()))
        ours.settimeout(0)
        signs = bytearray()

        def hears_some() -> bool:
            with suppress(BlockingIOError):
                signs.extend(ours.recv(9))
            return len(signs) > 3

        until(hears_some)
        ours.close()  # the supervisor is gone
        running.join(10)
        assert running.successful()


def test_a_worker_that_cannot_be_a_member_any_more_stops(
    pool: BackendPool, keys: Keys, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Member) -> None:
        raise RuntimeError("for a test")

    pool.reconcile([], "round-robin", "test")
    monkeypatch.setattr(Member, "beat", broken)
    monkeypatch.setattr(gevent.get_hub(), "print_exception", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Worker(settings(keys, store_url), listener)
        worker.start()
        assert worker.stop.wait(10)
        worker.finish()


def _status(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()
