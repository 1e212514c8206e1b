"""How the data plane is tested: in the test's own thread, and unpatched.

Our streams work on raw sockets and on gevent's hub alone, so nothing needs patching: the test is a greenlet
like any other (the main one), what it waits for runs meanwhile in the same hub, and the scripted servers and
clients use `gevent.socket` by name. Other tests in the same process never notice. The one thing that would
block the hub is a dial to a store that does not answer; a test that has such a store dials in gevent's
thread pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
import redis

from lb.model import ServerId
from lb.proxy import deadlines as sweep
from lb.proxy.deadlines import Deadlines
from lb.store.keys import Keys
from tests.proxy.rig import Balancer, ScriptedServer

TOO_LONG_SECONDS = 15.0


@pytest.fixture(autouse=True)
def _in_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test waits for ever, and time-outs are noticed soon."""
    monkeypatch.setattr(sweep, "SWEEP_SECONDS", 0.02)
    with gevent.Timeout(TOO_LONG_SECONDS):
        yield


@pytest.fixture
def deadlines() -> Iterator[Deadlines]:
    made = Deadlines()
    yield made
    for left in list(made.streams):
        left.close()
    made.close()


@pytest.fixture
def balancer(connection: redis.Redis, keys: Keys) -> Iterator[Callable[..., Balancer]]:
    """Make balancers: `balancer(server, …, maxRetries=0, …)`; each must end with nothing left behind."""
    with ExitStack() as stack:

        def make(*servers: ScriptedServer | ServerId, **settings: Any) -> Balancer:
            ids = [server.id if isinstance(server, ScriptedServer) else server for server in servers]
            made = Balancer(connection, keys, ids, settings)
            stack.callback(made.stop)
            return made

        yield make
