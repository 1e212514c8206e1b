"""`python -m tests.benchmarks.store`: how many leases one core of the store carries."""

from __future__ import annotations

import os
import time
from _socket import socket as RawSocket  # noqa: N812 (as the lease line uses it)
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import hiredis
import redis

from lb.model import ServerId, ServerSpec, WorkerId
from lb.store import embedded
from lb.store.keys import Keys
from lb.store.lease_wire import LeaseProtocol, dial
from lb.store.pool import BackendPool
from tests.benchmarks.cpu import cpu_seconds
from tests.benchmarks.processes import BenchmarkError, running, wait_until

_STRATEGIES = ("round-robin", "least-connections")
_POOL_SIZES = (5, 1000)
_BATCHES = (1, 8, 32)
_RECEIVE_BYTES = 65536
_WARM_UP_SECONDS = 0.2


class SimulatedWorker:
    """A lease line without traffic: it keeps one batch in flight, and gives back each lease with the next."""

    def __init__(self, client: redis.Redis, number: int, batch: int) -> None:
        name = WorkerId(f"benchmark-{number}")
        self._protocol = LeaseProtocol(name, Keys(), host="benchmark", pid=os.getpid(), started=time.time())
        self._socket: RawSocket = dial(client)
        self._socket.setblocking(True)
        self._replies = hiredis.Reader(encoding="utf-8")
        self._batch = batch
        self._releases: dict[ServerId, list[int]] = {}
        self._seed = 1
        self._socket.sendall(self._protocol.register({}))
        self._reply()

    def send(self) -> None:
        """Ask for a batch of leases, with the releases of the last one."""
        self._seed += 1
        self._socket.sendall(self._protocol.lease(self._seed, self._releases, self._batch, ()))

    def receive(self) -> int:
        """Wait for the batch; return how many leases it brought."""
        reply = self._reply()
        assert isinstance(reply, list)
        _version, _failed, *picked = reply
        self._releases = {}
        for server in picked:
            self._releases.setdefault(server, [0, 1, 0])[0] += 1
        if "" in self._releases:
            raise BenchmarkError("a pick found no server")
        return len(picked)

    def close(self) -> None:
        """Leave; what it holds stays counted."""
        self._socket.close()

    def _reply(self) -> object:
        while (reply := self._replies.gets()) is False:
            data = self._socket.recv(_RECEIVE_BYTES)
            if not data:
                raise BenchmarkError("the store closed the connection")
            self._replies.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise BenchmarkError(f"the store refused a batch: {reply}")
        return reply


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the store carried in one run."""

    leases_per_second: float
    cpu_us_per_lease: float
    busy: float  # share of the run in which the store's process ran


@click.command()
@click.option("--workers", default=4, show_default=True, type=click.IntRange(1), help="Simulated workers.")
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1), help="Length of each run.")
@click.option(
    "--cores", nargs=2, type=int, default=(0, 1), show_default=True, help="The workers', the store's."
)
@click.option(
    "--append-only/--memory-only", default=True, show_default=True, help="As `lb run` has it, or not."
)
def main(workers: int, seconds: int, cores: tuple[int, int], *, append_only: bool) -> None:
    """Print a Markdown table of the leases that the embedded store carries on one core."""
    os.sched_setaffinity(0, {cores[0]})
    click.echo("| strategy | servers | batch | leases/s | store's CPU per lease | store busy |")
    click.echo("|---|---:|---:|---:|---:|---:|")
    for strategy, servers, batch in product(_STRATEGIES, _POOL_SIZES, _BATCHES):
        with _store(cores[1], append_only=append_only) as (client, pid):
            BackendPool(client, Keys()).reconcile(_specs(servers), strategy, "benchmark")
            lines = [SimulatedWorker(client, number, batch) for number in range(workers)]
            found = _measure(lines, pid, seconds)
            for line in lines:
                line.close()
        click.echo(
            f"| {strategy} | {servers:,} | {batch} | {found.leases_per_second:,.0f} "
            f"| {found.cpu_us_per_lease:.1f} µs | {found.busy:.0%} |"
        )


def _specs(count: int) -> list[ServerSpec]:
    addresses = (f"10.0.0.1:{port}" for port in range(1, count + 1))
    return [ServerSpec(ServerId(address), f"http://{address}") for address in addresses]


def _measure(lines: list[SimulatedWorker], store: int, seconds: int) -> Capacity:
    _lease(lines, _WARM_UP_SECONDS)
    cpu_before, started = cpu_seconds([store]), time.monotonic()
    leases = _lease(lines, seconds)
    elapsed, used = time.monotonic() - started, cpu_seconds([store]) - cpu_before
    return Capacity(leases / elapsed, 1e6 * used / leases, used / elapsed)


def _lease(lines: list[SimulatedWorker], seconds: float) -> int:
    """Lease for that long, with a batch of every line in flight; return the number of leases."""
    deadline = time.monotonic() + seconds
    for line in lines:
        line.send()
    leases = 0
    while time.monotonic() < deadline:
        for line in lines:
            leases += line.receive()
            line.send()
    return leases + sum(line.receive() for line in lines)


@contextmanager
def _store(core: int, *, append_only: bool) -> Iterator[tuple[redis.Redis, int]]:
    """Run the embedded store in a directory of its own; yield a client and the process id."""
    with TemporaryDirectory(prefix="lb-benchmark-") as name:
        directory, log = Path(name), Path(name) / "log"
        command = [*embedded.command(directory), "--appendonly", "yes" if append_only else "no"]
        with running(command, core, log) as process:
            wait_until(embedded.socket_path(directory).exists, process, log)
            with redis.Redis.from_url(embedded.socket_url(directory), decode_responses=True) as client:
                if client.info("server")["process_id"] != process.pid:
                    raise BenchmarkError("the store that answers is not the one that was started")
                yield client, process.pid


if __name__ == "__main__":
    main()
