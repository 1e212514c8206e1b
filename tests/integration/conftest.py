"""Two balancers for many tests, as each start takes seconds: one of four workers, and one to be hard on.

Each test finds them idle and gives them back idle: when it ends, no request may be counted any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet, ok
from tests.integration.raw import RawServer, Script
from tests.integration.servers import Behaviour, HttpServer, servers

#: The original's config.json, but for its ports.
SAMPLE = {"healthCheckInterval": "2s", "lbAlgo": "round-robin", "maxRetries": 3}

#: Short time-outs; neither checks nor failures take a server down, so that tests can ill-treat theirs.
HARSH: dict[str, Any] = {
    "healthCheckInterval": "30s",
    "healthCheck": {"path": "/check", "fall": 1000},
    "passiveHealth": {"failures": 0},
    "timeouts": dict.fromkeys(("connect", "responseHead", "idle", "clientHeader", "clientBody"), "2s"),
    "limits": {"bodyBytes": 100 << 20},
}

#: Puts servers of such behaviour into the pool.
Serve = Callable[..., list[HttpServer]]

#: Puts a server into the pool that plays a script on each of its connections.
Play = Callable[[Script], None]


@pytest.fixture
def three() -> Iterator[list[HttpServer]]:
    with servers(3) as running:
        yield running


@pytest.fixture(scope="session")
def sample_fleet() -> Iterator[Fleet]:
    with servers(5) as five:
        config = {**SAMPLE, "port": ":0", "servers": [f"http://localhost:{one.port}" for one in five]}
        with Balancer(config, workers=4) as balancer:
            fleet = Fleet(balancer, five)
            fleet.reset()
            yield fleet


@pytest.fixture
def fleet(sample_fleet: Fleet) -> Iterator[Fleet]:
    """The sample config with four workers and five servers."""
    yield sample_fleet
    sample_fleet.wait_idle()
    sample_fleet.reset()


@pytest.fixture(scope="session")
def harsh_balancer() -> Iterator[Balancer]:
    with Balancer(HARSH, workers=1) as balancer:
        yield balancer


@pytest.fixture
def plane(harsh_balancer: Balancer) -> Iterator[Fleet]:
    """One worker with short time-outs; its pool is empty."""
    plane = Fleet(harsh_balancer)
    yield plane
    plane.wait_idle()
    plane.reset()


@pytest.fixture
def serve(plane: Fleet) -> Iterator[Serve]:
    """Start servers and put them into the plane's pool; stopped when no request is in flight any more."""
    with ExitStack() as stack:

        def start(*behaviours: Behaviour) -> list[HttpServer]:
            started = [stack.enter_context(HttpServer(behaviour)) for behaviour in behaviours or (ok,)]
            plane.add(*started)
            return started

        yield start
        plane.wait_idle()
        plane.reset()


@pytest.fixture
def play(plane: Fleet) -> Iterator[Play]:
    """Put a server into the plane's pool that plays a script on each connection."""
    with ExitStack() as stack:

        def start(script: Script) -> None:
            plane.add(stack.enter_context(RawServer(script)))

        yield start
        plane.wait_idle()
        plane.reset()
