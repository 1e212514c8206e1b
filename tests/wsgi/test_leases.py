"""Requests in threads use the line of another thread's hub, and those in the hub use it directly."""

from __future__ import annotations

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gevent
import pytest

from lb.model import ServerId
from lb.proxy.exchange import Unmetered
from lb.store.lease import Lease
from lb.wsgi.leases import HandedIn, Leases
from tests.proxy.rig import until
from tests.store.test_lease_line import made
from tests.support import Valkey

A, B = ServerId("a:1"), ServerId("b:1")


class Line:
    """A line that picks after a turn of its hub, and notes from which thread it is used."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.held: list[Lease] = []
        self.waiting = self.most = 0

    def lease(self, excluded: Collection[ServerId] = ()) -> Lease | None:
        self.threads.add(threading.get_ident())
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        gevent.sleep(0.05)
        self.waiting -= 1
        server = next((server for server in (A, B) if server not in excluded), None)
        if server is None:
            return None
        self.held.append(Lease(server, 0.0))
        return self.held[-1]

    def release(self, lease: Lease) -> None:
        self.threads.add(threading.get_ident())
        self.held.remove(lease)


def in_threads(count: int, act: Any) -> list[Any]:
    """Act in so many threads at once, while this thread's hub turns."""
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(act) for _ in range(count)]
        while not all(future.done() for future in futures):
            gevent.sleep(0.005)
        gevent.sleep(0.005)
        return [future.result() for future in futures]


def test_threads_wait_for_their_lease_at_the_same_time() -> None:
    line: Any = Line()
    leases = Leases(line)
    granted = in_threads(8, leases.lease)
    assert [lease.server for lease in granted] == [A] * 8
    assert line.most > 1
    assert line.threads == {threading.get_ident()}
    in_threads(1, lambda: [leases.release(lease) for lease in granted])
    assert line.held == []
    assert line.threads == {threading.get_ident()}


def test_what_a_thread_excludes_is_not_picked() -> None:
    leases = Leases(Line())  # type: ignore[arg-type]
    assert [lease.server for lease in in_threads(1, lambda: leases.lease((A,)))] == [B]
    assert in_threads(1, lambda: leases.lease((A, B))) == [None]


def test_a_greenlet_of_the_hub_uses_the_line_of_its_own_thread() -> None:
    line: Any = Line()
    leases = Leases(line)
    lease = leases.lease()
    assert lease is not None
    leases.release(lease)
    assert line.held == []


def test_a_request_that_is_interrupted_while_it_waits_gives_its_lease_back(valkey: Valkey) -> None:
    """By a gevent.Timeout around the application, say: the line must not wake it where it waits next."""

    def request() -> str:
        with gevent.Timeout(0.005, False):
            leases.lease()
        fixture.gate.thaw()
        gevent.sleep(0.02)
        return "went on"

    with made(valkey) as fixture:
        leases = Leases(fixture.line)
        fixture.gate.freeze()
        assert gevent.spawn(request).get() == "went on"
        until(lambda: fixture.agrees() and not fixture.counts())


def test_a_line_that_fails_leaves_nobody_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(Line):
        def lease(self, _excluded: Collection[ServerId] = ()) -> Lease | None:
            raise RuntimeError

    assert in_threads(1, Leases(Failing()).lease) == [None]  # type: ignore[arg-type]
    assert "RuntimeError" in capsys.readouterr().err


class Noting(Unmetered):
    def __init__(self) -> None:
        self.noted: list[tuple[Any, ...]] = []

    def answered(self, server: ServerId, status: int, seconds: float) -> None:
        self.noted.append((threading.get_ident(), server, status, seconds))

    def retried(self, server: ServerId) -> None:
        self.noted.append((threading.get_ident(), "retried", server))

    def cut(self, server: ServerId) -> None:
        self.noted.append((threading.get_ident(), "cut", server))

    def client_gone(self, server: ServerId) -> None:
        self.noted.append((threading.get_ident(), "gone", server))


def test_meters_have_one_writer() -> None:
    noting = Noting()
    meters = HandedIn(noting)

    def count() -> None:
        meters.answered(A, 200, 0.5)
        meters.retried(A)
        meters.cut(A)
        meters.client_gone(A)

    in_threads(1, count)
    here = threading.get_ident()
    expected = [(here, A, 200, 0.5), (here, "retried", A), (here, "cut", A), (here, "gone", A)]
    assert noting.noted == expected
    count()
    assert noting.noted == 2 * expected
