"""Two hosts on one store, each in a network of its own whose cables are pulled one after the other."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from lb.model import Health
from lb.store import embedded
from lb.store.client import open_fleet, open_pool
from lb.store.keys import Keys
from tests.integration import namespaces
from tests.integration.balancer import Balancer
from tests.integration.fleet import answered
from tests.integration.load import Client, Load, shares
from tests.integration.namespaces import Host
from tests.integration.servers import HttpServer
from tests.support import eventually

WORKERS = 2  # of each host
INTERVAL_SECONDS = 1.0
_URL = f"redis://{namespaces.STORE_ADDRESS}:6379"

pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.skipif(bool(namespaces.reason_to_skip()), reason=namespaces.reason_to_skip() or ""),
]


@dataclass
class Site:
    """Two hosts that balance over three servers."""

    hosts: list[Host]
    balancers: list[Balancer]
    servers: list[HttpServer]

    def __post_init__(self) -> None:
        self.pool, self.fleet = open_pool(_URL, Keys()), open_fleet(_URL, Keys())

    def rotates_exactly(self) -> bool:
        """Send requests to both hosts at once; tell whether each server had its exact share."""
        with ExitStack() as stack:
            loads = [stack.enter_context(Load(one.url, 4, total=75)) for one in self.balancers]
            for load in loads:
                load.join()
        outcomes = [outcome for load in loads for outcome in load.outcomes]
        assert {outcome.status for outcome in outcomes} == {200}
        return shares(outcomes) == dict.fromkeys((server.id for server in self.servers), 50)

    def all_at_work(self) -> bool:
        """Tell whether the store knows all workers, and none is degraded."""
        workers = answered(self.fleet.workers) or []
        return len(workers) == 2 * WORKERS and not any(
            worker.degraded_since and not worker.degraded_until for worker in workers
        )

    def health(self) -> Counter[Health]:
        return Counter(status.server.health for status in self.pool.list())

    def leading(self) -> int | None:
        """Return the number of the host whose health-checker leads."""
        leader = answered(self.pool.leader) or ""
        for number, balancer in enumerate(self.balancers):
            if any(f"-{pid}-" in leader for pid in balancer.pids("health-checker")):
                return number
        return None


@contextmanager
def store() -> Iterator[None]:
    """A store that all hosts reach."""
    with tempfile.TemporaryDirectory(prefix="lb-") as directory:
        command = [str(embedded.binary()), "--bind", namespaces.STORE_ADDRESS, "--port", "6379"]
        command += ["--protected-mode", "no", "--save", "", "--dir", directory, "--logfile", "log"]
        process = subprocess.Popen(command)
        try:
            eventually(lambda: answered(lambda: open_pool(_URL, Keys()).version()) is not None, seconds=10)
            yield
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        hosts = stack.enter_context(namespaces.hosts(2))
        stack.enter_context(store())
        address = namespaces.SERVERS_ADDRESS
        servers = [stack.enter_context(HttpServer(address=address)) for _ in range(3)]
        config = {
            "servers": [server.url for server in servers],
            "redis": _URL,
            "healthCheckInterval": f"{INTERVAL_SECONDS:g}s",
            "timeouts": {"connect": "300ms"},
        }
        balancers = [stack.enter_context(host.balancer(config, WORKERS)) for host in hosts]
        made = Site(hosts, balancers, servers)
        eventually(made.all_at_work, seconds=20, what="four workers")
        eventually(lambda: made.leading() is not None, seconds=10, what="a leader")
        yield made


def test_two_hosts_act_as_one_and_one_that_was_cut_off_from_the_store_joins_again(site: Site) -> None:
    assert site.rotates_exactly()
    cut, other = site.hosts[0], site.balancers[1]
    with Load(site.balancers[0].url, 4) as here, Load(other.url, 4) as there:
        eventually(lambda: len(here.outcomes) > 50, what="requests that flow")
        cut.cut("store")
        site.balancers[0].wait_log("degraded")
        eventually(
            lambda: len(site.fleet.workers()) == WORKERS, seconds=10, what="its workers taken for lost"
        )
        for load in (here, there):
            flowed = len(load.outcomes)
            eventually(lambda load=load, flowed=flowed: len(load.outcomes) > flowed + 50, what="flow")
        cut.mend("store")
        eventually(site.all_at_work, seconds=30, what="four workers that pick together")
    assert here.errors == there.errors == []
    eventually(lambda: sum(status.connections for status in site.pool.list()) == 0, what="no ghosts")
    assert site.rotates_exactly()
    assert "degraded" not in other.log


def test_a_host_that_is_cut_off_from_the_servers_takes_them_down_for_nobody_else(site: Site) -> None:
    led = site.leading()
    assert led is not None
    cut, other = site.hosts[1 - led], site.balancers[led]
    with Load(other.url, 4) as well:
        eventually(lambda: len(well.outcomes) > 50, what="requests that flow")
        cut.cut("servers")
        until = time.monotonic() + 4 * INTERVAL_SECONDS
        while time.monotonic() < until:
            with Client(site.balancers[1 - led].url) as client:
                assert client.ask().status in (502, 503, 504)
            assert site.health() == {Health.UP: 3}
        cut.mend("servers")
        eventually(lambda: _status(site.balancers[1 - led]) == 200, seconds=15, what="an answer")
    assert well.errors == []


def test_a_leader_that_is_cut_off_from_the_servers_takes_down_no_more_than_half(site: Site) -> None:
    led = site.leading()
    assert led is not None
    with Load(site.balancers[1 - led].url, 4) as well:
        eventually(lambda: len(well.outcomes) > 50, what="requests that flow")
        site.hosts[led].cut("servers")
        eventually(lambda: site.health()[Health.DOWN], seconds=15, what="a server that the leader misses")
        until = time.monotonic() + 4 * INTERVAL_SECONDS
        while time.monotonic() < until:
            assert site.health()[Health.DOWN] == 1
            time.sleep(0.1)
        site.hosts[led].mend("servers")
        eventually(lambda: site.health() == {Health.UP: 3}, seconds=20, what="all servers up")
    assert well.errors == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_another_hosts_health_checker_leads_within_three_intervals(
    site: Site, number: signal.Signals
) -> None:
    led = site.leading()
    assert led is not None
    for pid in (site.balancers[led].process.pid, *site.balancers[led].pids("health-checker")):
        os.kill(pid, signal.SIGSTOP)  # nor may its supervisor replace it
    began = time.monotonic()
    checker = site.balancers[led].pids("health-checker")
    try:
        if number == signal.SIGKILL:
            os.kill(checker[0], signal.SIGKILL)
        eventually(lambda: site.leading() == 1 - led, seconds=15, what="another leader")
        took = time.monotonic() - began
    finally:
        for pid in (*checker, site.balancers[led].process.pid):
            os.kill(pid, signal.SIGCONT)
    assert took < 12 * INTERVAL_SECONDS  # three, and much more for a busy machine
    assert site.rotates_exactly()


def _status(balancer: Balancer) -> int:
    with Client(balancer.url) as client:
        return client.ask().status
