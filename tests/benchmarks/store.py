"""`python -m tests.benchmarks.store`: how many leases one core of the store carries."""

from __future__ import annotations

import os
import time
from _socket import socket as RawSocket  # noqa: N812 (as the lease line uses it)
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import product
from pathlib import Path
from statistics import median
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

STRATEGIES = ("round-robin", "least-connections")
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
        self.sent_bytes = self.received_bytes = 0
        self._socket.sendall(self._protocol.register({}))
        self._reply()

    def send(self) -> None:
        """Ask for a batch of leases, with the releases of the last one."""
        self._seed += 1
        command = self._protocol.lease(self._seed, self._releases, self._batch, ())
        self.sent_bytes += len(command)
        self._socket.sendall(command)

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
            self.received_bytes += len(data)
            self._replies.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise BenchmarkError(f"the store refused a batch: {reply}")
        return reply


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured."""

    strategy: str
    servers: int
    workers: int
    batch: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the store carried in one run."""

    leases_per_second: float
    cpu_us_per_lease: float
    busy: float  # share of the run in which the store's process ran
    sent_bytes: float  # by the workers, for each lease
    received_bytes: float


@click.command()
@click.option(
    "--strategy", multiple=True, default=STRATEGIES, type=click.Choice(STRATEGIES), help="Repeatable."
)
@click.option(
    "--servers",
    multiple=True,
    default=(5, 1000),
    type=click.IntRange(1),
    help="Size of the pool; repeatable.",
)
@click.option(
    "--workers", multiple=True, default=(4,), type=click.IntRange(1), help="Simulated workers; repeatable."
)
@click.option(
    "--batch", multiple=True, default=(1, 8, 32), type=click.IntRange(1), help="Leases at once; repeatable."
)
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(0.1), help="Of each run.")
@click.option(
    "--rounds", default=1, show_default=True, type=click.IntRange(1), help="Rounds; medians are shown."
)
@click.option(
    "--cores", nargs=2, type=int, default=(0, 1), show_default=True, help="The workers', the store's."
)
@click.option(
    "--append-only/--memory-only", default=True, show_default=True, help="As `lb run` has it, or not."
)
def main(
    strategy: Sequence[str],
    servers: Sequence[int],
    workers: Sequence[int],
    batch: Sequence[int],
    seconds: float,
    rounds: int,
    cores: tuple[int, int],
    *,
    append_only: bool,
) -> None:
    """Print a Markdown table of the leases that the embedded store carries on one core."""
    os.sched_setaffinity(0, {cores[0]})
    cases = [Case(*case) for case in product(strategy, servers, workers, batch)]
    found: dict[Case, list[Capacity]] = {case: [] for case in cases}
    for case in cases * rounds:
        with store_on(cores[1], append_only=append_only) as (client, pid):
            found[case].append(measure(client, pid, case, seconds))
    for line in table(found):
        click.echo(line)


def measure(client: redis.Redis, pid: int, case: Case, seconds: float) -> Capacity:
    """Make a pool in an empty store, and lease from it for so long."""
    BackendPool(client, Keys()).reconcile(specs(case.servers), case.strategy, "benchmark")
    lines = [SimulatedWorker(client, number, case.batch) for number in range(case.workers)]
    try:
        return _measure(lines, pid, seconds)
    finally:
        for line in lines:
            line.close()


def table(found: dict[Case, list[Capacity]]) -> Iterator[str]:
    """Write the medians of what was found as a Markdown table."""
    yield (
        "| strategy | servers | workers | batch | leases/s | store's CPU per lease | store busy "
        "| bytes to the store, and back |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for case, runs in found.items():
        middle = Capacity(*(median(values) for values in zip(*map(astuple, runs), strict=True)))
        yield (
            f"| {case.strategy} | {case.servers:,} | {case.workers} | {case.batch} "
            f"| {middle.leases_per_second:,.0f} | {middle.cpu_us_per_lease:.1f} µs | {middle.busy:.0%} "
            f"| {middle.sent_bytes:.0f}, {middle.received_bytes:.0f} |"
        )


def specs(count: int) -> list[ServerSpec]:
    addresses = (f"10.0.0.1:{port}" for port in range(1, count + 1))
    return [ServerSpec(ServerId(address), f"http://{address}") for address in addresses]


def _measure(lines: list[SimulatedWorker], store: int, seconds: float) -> Capacity:
    _lease(lines, _WARM_UP_SECONDS)
    sent, received = _bytes(lines)
    cpu_before, started = cpu_seconds([store]), time.monotonic()
    leases = _lease(lines, seconds)
    elapsed, used = time.monotonic() - started, cpu_seconds([store]) - cpu_before
    sent_now, received_now = _bytes(lines)
    return Capacity(
        leases_per_second=leases / elapsed,
        cpu_us_per_lease=1e6 * used / leases,
        busy=used / elapsed,
        sent_bytes=(sent_now - sent) / leases,
        received_bytes=(received_now - received) / leases,
    )


def _bytes(lines: list[SimulatedWorker]) -> tuple[int, int]:
    return sum(line.sent_bytes for line in lines), sum(line.received_bytes for line in lines)


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
def store_on(core: int, *, append_only: bool) -> Iterator[tuple[redis.Redis, int]]:
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
