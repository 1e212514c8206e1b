"""Peers that send as fast as they can, of any kind: others are served meanwhile, and the worker lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import Play
from tests.integration.fleet import Fleet
from tests.integration.flood import CLIENTS, HOST, OPERATORS, SERVERS, Flood, peer_of, served_beside


@pytest.fixture
def patient(plane: Fleet) -> Iterator[Fleet]:
    """The plane; its worker is the same at the end, and nobody took it for lost."""
    before = plane.balancer.worker_pids(), losses(plane)
    yield plane
    assert (plane.balancer.worker_pids(), losses(plane)) == before, plane.balancer.log


def losses(plane: Fleet) -> int:
    """How often a worker's heartbeat failed to come for 3 s."""
    return sum(event.kind == "worker-lost" for event in plane.pool.events(1000))


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_client_that_floods_holds_nobody_up(patient: Fleet, play: Play, kind: str) -> None:
    play(peer_of(b"", b"x"))
    with Flood(patient.url, *CLIENTS[kind]) as flood:
        served_beside(patient.url, flood)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_floods_holds_nobody_up(patient: Fleet, play: Play, kind: str) -> None:
    play(peer_of(*SERVERS[kind]))
    upgrade = b"Connection: upgrade\r\nUpgrade: x\r\n" if kind == "a tunnel" else b""
    with Flood(patient.url, b"GET /flood" + HOST + upgrade + b"\r\n", b"") as flood:
        served_beside(patient.url, flood)


@pytest.mark.parametrize("kind", OPERATORS)
def test_a_client_that_floods_the_admin_api_holds_nobody_up(plane: Fleet, kind: str) -> None:
    before = plane.balancer.pids("api")
    with Flood(plane.balancer.admin_url, *OPERATORS[kind]) as flood:
        served_beside(plane.balancer.admin_url, flood, "/health")
    assert plane.balancer.pids("api") == before
