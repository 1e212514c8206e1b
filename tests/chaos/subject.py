"""What is broken: several hosts of `lb run` on one store, and the servers behind them."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lb.model import ServerId, ServerSpec, Source
from lb.store.client import connect, open_fleet, open_pool
from lb.store.keys import Keys
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet, server_id
from tests.integration.servers import HttpServer, Request, response
from tests.support import Valkey, eventually

INTERVAL_SECONDS = 1.0
_SERVERS, _SPARE_SERVERS = 5, 2

#: From the end of an outage until the contract holds again.
SETTLE_SECONDS = 3.0


class LoggedServer:
    """A server with a log of its own: what came, and when."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.id: ServerId = server_id(server)
        self.log: list[tuple[float, str]] = []  # monotonic seconds, target
        self.delay_seconds = 0.0
        self.alive = True
        server.behaviour = self._answer

    @property
    def spec(self) -> ServerSpec:
        return ServerSpec(self.id, f"http://{self.id}")

    def kill(self) -> None:
        self.alive = False
        self.server.stop()

    def restart(self) -> None:
        if not self.alive:
            self.server.start()
            self.alive = True

    def _answer(self, request: Request) -> bytes:
        if request.method == "GET":
            self.log.append((time.monotonic(), request.target))
            time.sleep(self.delay_seconds)
        return response(200, b"ok")


class Host:
    """One `lb run`, which can be killed and started again with the same ports."""

    def __init__(self, balancer: Balancer, workers: int) -> None:
        self.balancer = balancer
        self.workers = workers
        self.down: list[list[float]] = []  # periods in monotonic seconds; the last may be without an end
        self.logs: list[str] = []
        self._keep_ports()

    @property
    def up(self) -> bool:
        return not self.down or len(self.down[-1]) == 2

    def was_down(self, begin: float, end: float) -> bool:
        """Whether it was down at any time of a period."""
        return any(period[0] <= end and (len(period) == 1 or begin <= period[1]) for period in self.down)

    def kill(self) -> None:
        """Kill the supervisor; its children must end by themselves."""
        self.down.append([time.monotonic()])
        self.balancer.process.kill()
        self.balancer.process.wait()
        eventually(
            lambda: not self.balancer.leftovers(), seconds=12, what="the end of a dead host's processes"
        )

    def restart(self) -> None:
        if self.up:
            return
        self.logs.append(self.balancer.log)
        self.balancer.start()
        self.balancer.wait_ready()
        self.down[-1].append(time.monotonic())

    def ports_of(self, pid: int) -> set[int]:
        """Ports of the clients whose connections a worker has accepted; it must stand still."""
        return {port for port, owner in Fleet(self.balancer).owners().items() if owner == pid}

    def _keep_ports(self) -> None:
        config = json.loads(self.balancer.config_path.read_text())
        config["port"] = self.balancer.url.removeprefix("http://")
        config["admin"] = {"listen": self.balancer.admin_url.removeprefix("http://")}
        self.balancer.config_path.write_text(json.dumps(config))


class Subject:
    """All of it, and what is known to be broken at the moment."""

    def __init__(self, store: Valkey, servers: list[LoggedServer], hosts: list[Host]) -> None:
        self.store = store
        self.servers = {server.id: server for server in servers}
        self.hosts = hosts
        self.pool = open_pool(store.url, Keys())
        self.fleet = open_fleet(store.url, Keys())
        self.outages: list[list[float]] = []  # of the store, until it has settled; like Host.down

    @property
    def store_is_well(self) -> bool:
        """Whether the store answers, and has done so for long enough."""
        return not self.outages or (len(self.outages[-1]) == 2 and time.monotonic() > self.outages[-1][1])

    @property
    def store_is_away(self) -> bool:
        return bool(self.outages) and len(self.outages[-1]) == 1

    def lose_store(self) -> None:
        self.outages.append([time.monotonic()])

    def regain_store(self) -> None:
        if self.store_is_away:
            self.outages[-1].append(time.monotonic() + SETTLE_SECONDS)

    def outage_at(self, begin: float, end: float) -> float | None:
        """Return when the first outage within a period began; None if there was none."""
        return next((o[0] for o in self.outages if o[0] <= end and (len(o) == 1 or begin <= o[1])), None)

    def worker_pids(self) -> set[int]:
        return {pid for host in self.hosts if host.up for pid in host.balancer.worker_pids()}

    def flush_store(self) -> None:
        with connect(self.store.url) as connection:
            connection.flushall()

    def signal_store(self, number: signal.Signals) -> None:
        assert self.store._process
        os.kill(self.store._process.pid, number)


@contextmanager
def running(workers: int, hosts: int) -> Iterator[Subject]:
    """Start everything; at the end every host must stop in good order and leave nothing behind."""
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="lb-"))
        servers = [LoggedServer(stack.enter_context(HttpServer())) for _ in range(_SERVERS + _SPARE_SERVERS)]
        store = stack.enter_context(Valkey(Path(home)))
        config = {
            "redis": store.url,
            "servers": [server.spec.url for server in servers[:_SERVERS]],
            "healthCheckInterval": f"{INTERVAL_SECONDS:g}s",
            "threshold": "1h",
            "gracefulTimeout": "3s",
        }
        started = [
            Host(stack.enter_context(Balancer(config, workers=workers)), workers) for _ in range(hosts)
        ]
        yield Subject(store, servers, started)


def spare(subject: Subject) -> list[LoggedServer]:
    """The servers that are not in the config."""
    return list(subject.servers.values())[_SERVERS:]


def added(server: LoggedServer, subject: Subject) -> None:
    subject.pool.add(server.spec, Source.ADMIN, "chaos")


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
