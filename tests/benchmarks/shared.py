"""`python -m tests.benchmarks.shared`: what it costs a worker that its picks are made in the store.

The same worker with the same clients, in turn: with its store, and with the store stopped (SIGSTOP), when it
picks by itself from its last snapshot. The difference is the price of exact shared state.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click

from lb.store import embedded
from lb.store.client import open_fleet
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from tests.benchmarks.cpu import cpu_seconds
from tests.benchmarks.load import send
from tests.benchmarks.origin import Origin, running_origin
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.subjects import SUBJECTS, RunningSubject
from tests.benchmarks.workloads import WORKLOADS
from tests.support import eventually

_STRATEGIES = {"round-robin": "lb", "least-connections": "lb-least-connections"}
_SETTLE_SECONDS = 2  # longer than the store may be missed, or back, before a worker notices
_BAR_CONNECTIONS = 64
_MOST_ADDED = 0.20


@dataclass(frozen=True, slots=True)
class Run:
    """One run against a worker."""

    cpu_us: float  # of the worker, for each request
    p50_us: float
    p99_us: float
    requests_per_second: float


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Pairs of runs.")
@click.option("--seconds", default=5, show_default=True, type=click.IntRange(1), help="Of each run.")
@click.option(
    "--connections", multiple=True, default=(1, 16, 64, 256), type=click.IntRange(1), help="Repeatable."
)
@click.option("--strategy", default="round-robin", show_default=True, type=click.Choice(list(_STRATEGIES)))
@click.option(
    "--cores", nargs=2, type=int, default=(0, 1), show_default=True, help="The worker's, and everyone else's."
)
def main(
    rounds: int, seconds: int, connections: Sequence[int], strategy: str, cores: tuple[int, int]
) -> None:
    """Print what the store adds to a request; exit 1 if it is over the bar at 64 connections."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    over = False
    click.echo(
        "| connections | worker's CPU per request: alone, shared | added | requests/s: alone, shared "
        "| p50: alone, shared | p99: alone, shared |"
    )
    click.echo("|---:|---:|---:|---:|---:|---:|")
    with TemporaryDirectory(prefix="lb-benchmark-") as directory:
        with running_origin(Path(directory), cores[1]) as origin:
            for count in connections:
                alone, shared = _pairs(origin, _STRATEGIES[strategy], count, rounds, seconds, cores)
                added = shared.cpu_us / alone.cpu_us - 1
                over |= count == _BAR_CONNECTIONS and added > _MOST_ADDED
                click.echo(_row(count, alone, shared, added))
    bar = f"at most {_MOST_ADDED:.0%} more CPU at {_BAR_CONNECTIONS} connections"
    click.echo(f"\n{strategy}; medians of {rounds} pairs, {seconds} s each; bar: {bar}.")
    sys.exit(over)


def _row(count: int, alone: Run, shared: Run, added: float) -> str:
    return (
        f"| {count} | {alone.cpu_us:.1f}, {shared.cpu_us:.1f} µs | {added:+.0%} "
        f"| {alone.requests_per_second:,.0f}, {shared.requests_per_second:,.0f} "
        f"| {alone.p50_us:,.0f}, {shared.p50_us:,.0f} µs | {alone.p99_us:,.0f}, {shared.p99_us:,.0f} µs |"
    )


def _pairs(
    origin: Origin, subject: str, connections: int, rounds: int, seconds: int, cores: tuple[int, int]
) -> tuple[Run, Run]:
    """Run both in turn, so often; return the medians of alone and shared."""
    alone, shared = [], []
    with TemporaryDirectory(prefix="lb-benchmark-") as directory:
        with SUBJECTS[subject].running(origin, Path(directory), *cores) as running:
            fleet = open_fleet(embedded.socket_url(Path(directory) / "data"), Keys())
            for _ in range(rounds):
                eventually(lambda: _is_shared(fleet), seconds=20, what="a worker that asks the store")
                shared.append(_run(running, connections, seconds, cores[1]))
                with _without_store(running):
                    alone.append(_run(running, connections, seconds, cores[1]))
    return _middle(alone), _middle(shared)


def _run(subject: RunningSubject, connections: int, seconds: int, core: int) -> Run:
    workload = replace(WORKLOADS["tiny"], connections=connections)
    send(workload, subject.port, _SETTLE_SECONDS, core)
    worker = _worker(subject)
    before = cpu_seconds([worker])
    load = send(workload, subject.port, seconds, core)
    used = cpu_seconds([worker]) - before
    if load.errors or not load.requests:
        raise BenchmarkError(f"{load.requests} requests, errors: {load.errors}")
    return Run(
        cpu_us=1e6 * used / load.requests,
        p50_us=1e6 * load.p50_seconds,
        p99_us=1e6 * load.p99_seconds,
        requests_per_second=load.requests / load.seconds,
    )


def _middle(runs: Sequence[Run]) -> Run:
    return Run(*(median(getattr(run, name) for run in runs) for name in Run.__dataclass_fields__))


@contextmanager
def _without_store(subject: RunningSubject) -> Iterator[None]:
    """Have the store stand still; its workers pick by themselves."""
    if subject.store_pid is None:
        raise BenchmarkError("there is no store to stop")
    store = subject.store_pid
    os.kill(store, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(store, signal.SIGCONT)


def _is_shared(fleet: Fleet) -> bool:
    """Tell whether the store knows a worker, and this one is not degraded."""
    workers = fleet.workers()
    return bool(workers) and not any(one.degraded_since and not one.degraded_until for one in workers)


def _worker(subject: RunningSubject) -> int:
    words = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in subject.pids}
    [worker] = [pid for pid, line in words.items() if b"worker" in line]
    return worker


if __name__ == "__main__":
    main()
