"""What tests ask of a running balancer: its pool, the counts in its store, who serves whom."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from pathlib import Path
from typing import TypeVar

import redis

from lb.errors import StoreError
from lb.model import Admin, Health, ServerId, ServerSpec, Source, WorkerId
from lb.store.client import connect
from lb.store.keys import Keys
from tests.integration.balancer import Balancer
from tests.integration.load import Client, Load, Response, shares
from tests.integration.raw import RawServer
from tests.integration.servers import Behaviour, HttpServer, Request, response
from tests.support import eventually

T = TypeVar("T")

#: What each worker says that lost the store, when it has it again.
BACK = "the store decides again"


def ok(_request: Request) -> bytes:
    """Answer, as a server that is well."""
    return response(200, b"ok")


@contextmanager
def hanging() -> Iterator[Behaviour]:
    """A behaviour that holds requests of clients back until the block ends."""
    go_on = threading.Event()

    def hang(request: Request) -> bytes:
        if request.method != "HEAD":  # a health check
            go_on.wait(60)
        return ok(request)

    try:
        yield hang
    finally:
        go_on.set()


class Fleet:
    """A balancer with the servers that its tests play with, all named localhost."""

    def __init__(self, balancer: Balancer, servers: Sequence[HttpServer] = ()) -> None:
        self.balancer = balancer
        self.servers = servers
        self.pool = balancer.pool()
        self._store = connect(balancer.store_url)
        self._keys = Keys()

    @property
    def url(self) -> str:
        return self.balancer.url

    @property
    def ids(self) -> list[ServerId]:
        return [server_id(server) for server in self.servers]

    def ask(self, method: str = "GET", target: str = "/", *lines: str, body: bytes | None = None) -> Response:
        """Send one request on a connection of its own."""
        with Client(self.url) as client:
            return client.ask(method, target, *lines, body=body)

    def admin(self, *words: str) -> str:
        """Run lb-admin."""
        return self.balancer.admin(*words)

    def add(self, *servers: HttpServer | RawServer) -> None:
        """Put servers into the pool."""
        for server in servers:
            self.pool.add(ServerSpec(server_id(server), f"http://{server_id(server)}"), Source.ADMIN, "test")

    def remove(self, *servers: HttpServer) -> None:
        """Take servers out of the pool."""
        for server in servers:
            self.pool.remove(server_id(server), "test")

    def health(self, server: HttpServer) -> Health:
        return next(one.server.health for one in self.pool.list() if one.server.id == server_id(server))

    def connections(self) -> dict[str, int]:
        """Read the store's sums of requests in flight, those above zero (or below: never)."""
        counts = self._store.hgetall(self._keys.connections)
        return {server: int(count) for server, count in counts.items() if int(count)}

    def connections_of_workers(self) -> dict[str, int]:
        """Add up what the store holds for each worker, those above zero."""
        sums: Counter[str] = Counter()
        for key in self._store.scan_iter(self._keys.worker_connections("*")):  # type: ignore[arg-type]
            sums.update({server: int(count) for server, count in self._store.hgetall(key).items()})
        return {server: count for server, count in sums.items() if count}

    def wait_idle(self, seconds: float = 15.0) -> None:
        """Wait until no request is counted any more."""
        self.wait_counts({}, seconds)

    def wait_counts(self, truth: dict[str, int], seconds: float = 15.0) -> None:
        """Wait until the sums, and those of the workers' own counts, are the truth."""
        eventually(
            lambda: self.connections() == truth == self.connections_of_workers(),
            seconds=seconds,
            what=f"counts of {truth}",
        )

    def behave(self, behaviour: Behaviour) -> None:
        """Give all servers a behaviour."""
        for server in self.servers:
            server.behaviour = behaviour

    def served(self) -> Counter[str]:
        """Count the requests of clients that each server got."""
        return Counter({server_id(server): gets(server) for server in self.servers})

    def load(self, total: int | None = None, connections: int = 40) -> Load:
        """Prepare clients, as many as it takes for each worker to have some."""
        counts = chain((connections, 2 * connections, 4 * connections), repeat(8 * connections))
        return eventually(
            lambda: self._if_spread(Load(self.url, next(counts), total)),
            seconds=30,
            what="workers that all accept",
        )

    def share_out(self, total: int, connections: int = 40) -> Counter[str]:
        """Send so many requests, of which none fails, and count them by server.

        Once more where a worker had to pick without the store, as it must on a machine that is too busy.
        """
        for _ in range(3):
            for server in self.servers:
                server.requests.clear()
            outages = self._outages()
            with self.load(total, connections) as load:
                load.join()
            assert load.errors == []
            if self._outages() == outages:
                break
        return shares(load.outcomes)

    def _outages(self) -> tuple[int, ...]:
        """How often workers have said that they lost the store, and that they have it again."""
        return tuple(map(self.balancer.log.count, ("degraded, servers are picked locally", BACK)))

    def _if_spread(self, load: Load) -> Load | None:
        owners = eventually(
            lambda: self._owners_of(load.clients), seconds=20, what="clients that are accepted"
        )
        if set(owners.values()) == set(self.balancer.worker_pids()):
            return load
        load.close()
        return None

    def _owners_of(self, clients: Iterable[Client]) -> dict[int, int] | None:
        owners = self.owners()
        ports = {client.port for client in clients}
        return {port: owners[port] for port in ports} if owners.keys() >= ports else None

    def flush(self) -> None:
        """Delete all that the store holds."""
        self._store.flushall()

    def wait_workers(self, count: int) -> None:
        """Wait until so many workers run and the store knows them, and nobody else."""

        def all_known() -> bool:
            running = self.balancer.worker_pids()
            return len(running) == count and sorted(running) == sorted(self._known_pids())

        eventually(all_known, seconds=30, what=f"{count} workers in the store")

    def _known_pids(self) -> list[int]:
        ids = self._store.zrange(self._keys.workers, 0, -1)
        return [int(self._store.hget(self._keys.worker(WorkerId(one)), "pid") or 0) for one in ids]

    def owners(self) -> dict[int, int]:
        """Map the port of each client's connection to the process id of the worker that accepted it."""
        inodes = _connections_to(int(self.url.rpartition(":")[2]))
        owners = {}
        for pid in self.balancer.worker_pids():
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):  # closed meanwhile
                    if (port := inodes.get(str(entry.readlink()))) is not None:
                        owners[port] = pid
        return owners

    def reset(self) -> None:
        """Make the pool what it was when its servers were new."""
        for status in self.pool.list():
            server = status.server
            if server.id not in self.ids:
                self.pool.remove(server.id, "test")
                continue
            self.pool.set_admin(server.id, Admin.READY, "test")
            self.pool.set_health(server.id, Health.UP, "", "test")
            self.pool.set_weight(server.id, 1, "test")
        present = {status.server.id for status in self.pool.list()}
        self.add(*(server for server in self.servers if server_id(server) not in present))
        self.pool.set_strategy("round-robin", "test")
        for server in self.servers:
            server.behaviour = ok
            server.requests.clear()


def server_id(server: HttpServer | RawServer) -> ServerId:
    """Return the id that a server has by the name localhost."""
    return ServerId(f"localhost:{server.port}")


def answered(act: Callable[[], T]) -> T | None:
    """Return what the store says; None while it is away."""
    with suppress(StoreError, redis.ConnectionError):
        return act()
    return None


def gets(server: HttpServer) -> int:
    """Count the requests of clients: the health-checker's are HEAD."""
    return sum(request.method == "GET" for request in list(server.requests))


def _connections_to(port: int) -> dict[str, int]:
    """Map socket names, as /proc/<pid>/fd shows them, to the client's port."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in Path(table).read_text().splitlines()[1:]:
            fields = row.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                found[f"socket:[{fields[9]}]"] = int(fields[2].rpartition(":")[2], 16)
    return found
