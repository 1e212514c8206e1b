"""What dies under load takes down nothing but itself: a server, a worker, the store."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lb.model import Health, ServerId, ServerSpec, Source
from tests.integration.fleet import BACK, Fleet, answered, hanging
from tests.integration.load import Client, Load, shares
from tests.support import eventually, free_port

pytestmark = pytest.mark.alone  # who waits for the store too long picks on his own, and that is not exact


@pytest.fixture
def load(fleet: Fleet) -> Iterator[Load]:
    """Clients of all workers, that send from here to the end of the test."""
    with fleet.load(connections=12) as load:
        more(load)
        yield load


def more(load: Load, count: int = 300) -> None:
    """Wait until the clients have got on by so many requests."""
    target = len(load.outcomes) + count
    eventually(lambda: len(load.outcomes) >= target, seconds=20, what="requests")


def assert_exact(fleet: Fleet) -> None:
    assert fleet.share_out(500, connections=12) == dict.fromkeys(fleet.ids, 100)


# --- a server


#: Its responses go out whole: one of which a part was sent when the server died could only be cut.
SERVER = """
import signal, sys
from tests.integration.servers import HttpServer
server = HttpServer()
server.port = int(sys.argv[1])
server.start()
signal.pause()
"""


class ServerProcess:
    """A server that can be killed: a process of its own."""

    def __init__(self) -> None:
        self._port = free_port()
        self.id = ServerId(f"127.0.0.1:{self._port}")
        self.url = f"http://{self.id}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it accepts."""
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen([sys.executable, "-c", SERVER, str(self._port)], cwd=root)
        eventually(self._accepts, seconds=20, what="a server that accepts")

    def kill(self) -> None:
        """End it without a word."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture
def mortal(fleet: Fleet) -> Iterator[ServerProcess]:
    """A sixth server."""
    server = ServerProcess()
    try:
        server.start()
        fleet.pool.add(ServerSpec(server.id, server.url), Source.ADMIN, "test")
        yield server
        fleet.pool.remove(server.id, "test")
    finally:
        server.kill()


@pytest.mark.slow
def test_a_killed_server_costs_no_request_is_marked_down_and_comes_back(
    fleet: Fleet, mortal: ServerProcess, load: Load
) -> None:
    eventually(lambda: mortal.id in shares(load.outcomes), what="a request to it")
    mortal.kill()
    state = eventually(lambda: find(fleet, mortal.id, Health.DOWN), seconds=15, what="down")
    assert state["reason"].startswith(("failures: ", "check: ")), state
    assert state["reason"] in fleet.admin("list")

    mortal.start()
    before = len(load.outcomes)
    eventually(lambda: find(fleet, mortal.id, Health.UP), seconds=20, what="up again")
    eventually(lambda: mortal.id in shares(load.outcomes[before:]), what="a request to it again")
    assert load.errors == []


def find(fleet: Fleet, server: ServerId, health: Health) -> dict[str, str] | None:
    """Return what `lb-admin list` says of a server if it is in such health."""
    listed = json.loads(fleet.admin("list", "--json"))
    return next((one for one in listed if one["id"] == server and one["health"] == health), None)


# --- a worker


@pytest.mark.slow
def test_a_killed_worker_costs_only_the_requests_on_its_own_connections(fleet: Fleet, load: Load) -> None:
    owners = fleet.owners()
    victim = owners[load.clients[0].port]
    os.kill(victim, signal.SIGKILL)
    more(load, 2000)
    load.stop()
    lost = {outcome.port for outcome in load.errors}
    assert lost <= {port for port, pid in owners.items() if pid == victim}
    assert len(load.errors) == len(lost)  # one request on each at most
    fleet.wait_idle()
    fleet.wait_workers(4)
    assert victim not in fleet.balancer.worker_pids()
    assert_exact(fleet)


@pytest.mark.slow
def test_what_a_killed_worker_held_is_taken_back_within_five_seconds(fleet: Fleet) -> None:
    with held_by_workers(fleet) as (clients, release):
        owners = fleet.owners()
        victim = owners[clients[0].port]
        os.kill(victim, signal.SIGKILL)
        alive = [client for client in clients if owners[client.port] != victim]
        eventually(
            lambda: sum(fleet.connections().values()) == len(alive) == sum(held(fleet).values()),
            seconds=10,  # five, and as much for a busy machine
            what="counts without the dead worker's",
        )
        release()
        for client in alive:
            assert client.receive().status == 200
    fleet.wait_idle()
    fleet.wait_workers(4)


@contextmanager
def held_by_workers(fleet: Fleet) -> Iterator[tuple[list[Client], Callable[[], None]]]:
    """Clients whose requests hang, some at each worker, until the second value is called."""
    with ExitStack() as stack:
        load = fleet.load(connections=20)
        stack.callback(load.close)
        hang = stack.enter_context(ExitStack())
        fleet.behave(hang.enter_context(hanging()))
        for client in load.clients:
            client.send(client.head())
        fleet.wait_counts(dict.fromkeys(fleet.ids, len(load.clients) // 5))
        yield load.clients, hang.close


def held(fleet: Fleet) -> Counter[str]:
    return Counter(fleet.connections_of_workers())


# --- the store


@pytest.mark.slow
def test_a_killed_store_costs_no_request_and_exactness_resumes(fleet: Fleet, load: Load) -> None:
    with outlived(fleet, load):
        [victim] = fleet.balancer.pids("store")
        os.kill(victim, signal.SIGKILL)
        more(load, 1000)  # without a store
        eventually(lambda: set(fleet.balancer.pids("store")) - {victim}, seconds=20, what="another store")
    assert_ended_well(fleet, load)


@contextmanager
def outlived(fleet: Fleet, load: Load) -> Iterator[None]:
    """After the block, wait until all workers are back at the store."""
    times_back = fleet.balancer.log.count(BACK)
    yield
    eventually(
        lambda: fleet.balancer.log.count(BACK) == times_back + 4,
        seconds=20,
        what="four workers that are back",
    )
    more(load)


def assert_ended_well(fleet: Fleet, load: Load) -> None:
    """No request of the load failed, and the next are shared out exactly."""
    load.stop()
    assert load.errors == []
    fleet.wait_idle()
    assert_exact(fleet)


@pytest.mark.slow
def test_a_store_that_hangs_costs_no_request_and_exactness_resumes(fleet: Fleet, load: Load) -> None:
    """What it was told before, it does when it goes on: nothing of that may be left in the counts."""
    with outlived(fleet, load):
        [sleeper] = fleet.balancer.pids("store")
        os.kill(sleeper, signal.SIGSTOP)
        try:
            more(load, 1000)  # without an answer of the store
        finally:
            os.kill(sleeper, signal.SIGCONT)
    assert_ended_well(fleet, load)


@pytest.mark.slow
def test_requests_that_hang_while_the_store_dies_are_counted_by_the_next(fleet: Fleet) -> None:
    with held_by_workers(fleet) as (clients, release):
        truth = dict.fromkeys(fleet.ids, len(clients) // 5)
        [victim] = fleet.balancer.pids("store")
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: set(fleet.balancer.pids("store")) - {victim}, seconds=20, what="another store")
        eventually(lambda: answered(fleet.connections) is not None, seconds=20, what="an answer of the store")
        fleet.wait_counts(truth, seconds=10)
        release()
        for client in clients:
            assert client.receive().status == 200
    fleet.wait_idle()


@pytest.mark.slow
def test_a_store_that_forgets_everything_gets_the_pool_back(fleet: Fleet, load: Load) -> None:
    fleet.pool.set_weight(fleet.ids[0], 3, "test")
    fleet.pool.set_weight(fleet.ids[0], 1, "test")
    more(load)
    version = fleet.pool.version()
    fleet.flush()
    eventually(lambda: fleet.pool.version() >= version, seconds=20, what="the pool")
    assert [status.server.id for status in fleet.pool.list()] == fleet.ids
    fleet.wait_workers(4)
    more(load)
    assert_ended_well(fleet, load)
