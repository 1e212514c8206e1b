"""`python -m tests.benchmarks.outage`: the store stands still under load, and goes on.

The managed store of a real `lb run` with two workers is stopped (SIGSTOP) while wrk sends all it can. Nothing
is refused then: connections to the store stay open, and no reply comes. That is the worst way to lose it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer

import click

from lb.model import WorkerStatus
from lb.store.client import open_fleet
from lb.store.keys import Keys
from tests.benchmarks.load import Load, send
from tests.benchmarks.origin import Origin, running_origin
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.report import machine, shown_time
from tests.benchmarks.steady import Steady
from tests.benchmarks.workloads import WORKLOADS
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet
from tests.support import eventually

_WORKERS = 2
_MOST_SECONDS = 0.25  # for a request
_CALM_SECONDS = 3  # of the runs before and after
_TURN_SECONDS = 4  # of the runs in which the store stops or goes on, …
_TURN_AT_SECONDS = 1  # … after so long
_BACK_SECONDS = 20.0  # how long is waited for workers that ask the store again
_STEADY_CLIENTS = 8
_ROUNDED_SECONDS = 0.001  # off a worker's times in the store


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it."""

    runs: dict[str, Load]  # of wrk, one after the other, by what the store does meanwhile
    steady: Steady  # clients that ask all the time
    back_seconds: float | None  # from when the store went on until no worker picked by itself; None: too long
    counts_return: bool  # whether no request is counted in the store when there is none


@click.command()
@click.option(
    "--seconds",
    default=10,
    show_default=True,
    type=click.IntRange(_TURN_SECONDS + 1),
    help="How long the store stands still.",
)
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1))
@click.option("--core", default=1, show_default=True, help="Of wrk and the origin; lb may use all.")
def main(seconds: int, connections: int, core: int) -> None:
    """Print what clients see of it; exit 1 after an error, a slow request, or a count that stays."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    try:
        with TemporaryDirectory(prefix="lb-benchmark-") as directory:
            with running_origin(Path(directory), core) as origin, _balancer(origin) as balancer:
                found = _watch(balancer, seconds, connections, core)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n".join(table(found, connections)))
    click.echo(f"\n{_told(found.back_seconds)}; {found.steady}.")
    click.echo(f"{machine()}; {_WORKERS} workers, the store stopped for {seconds} s.")
    missed = misses(found)
    for each in missed:
        click.echo(f"MISSED: {each}")
    sys.exit(bool(missed))


def table(found: Found, connections: int) -> Iterator[str]:
    """Write a line for each run of wrk."""
    title = f"tiny GET, {connections} keep-alive connections"
    yield f"| {title} | requests/s | of before | p50 | p99 | worst | errors |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    rates = {name: load.requests / load.seconds for name, load in found.runs.items()}
    before = next(iter(rates.values()))
    for name, load in found.runs.items():
        times = (load.p50_seconds, load.p99_seconds, load.worst_seconds)
        shown = " | ".join(shown_time(1e6 * seconds) for seconds in times)
        errors = sum(load.errors.values())
        yield f"| {name} | {rates[name]:,.0f} | {rates[name] / before:.0%} | {shown} | {errors} |"


def misses(found: Found) -> list[str]:
    """Return what should not be."""
    missed = [
        f"{count} {kind} errors, {name}"
        for name, load in found.runs.items()
        for kind, count in load.errors.items()
    ]
    missed += [f"a steady client: {error}" for error in found.steady.errors]
    worst = {name: load.worst_seconds for name, load in found.runs.items()}
    worst["of a steady client"] = found.steady.worst_seconds
    missed += [
        f"a request took {seconds:.3f} s, {name} (bar: {_MOST_SECONDS:g} s)"
        for name, seconds in worst.items()
        if seconds > _MOST_SECONDS
    ]
    if found.back_seconds is None:
        missed.append(f"not every worker told within {_BACK_SECONDS:g} s that it asks the store again")
    if not found.counts_return:
        missed.append("requests are counted in the store when there are none")
    return missed


def _told(back_seconds: float | None) -> str:
    if back_seconds is None:
        return "not exact again"
    return f"all picks exact again {back_seconds:.2f} s after the store went on"


def _balancer(origin: Origin) -> Balancer:
    config = {
        "servers": origin.urls,
        "healthCheckInterval": "60s",
        "healthCheck": {"path": WORKLOADS["tiny"].path},
        "limits": {"keepAliveRequests": 0},
    }
    return Balancer(config, workers=_WORKERS)


def _watch(balancer: Balancer, seconds: int, connections: int, core: int) -> Found:
    workload = replace(WORKLOADS["tiny"], connections=connections)
    fleet, runs = Fleet(balancer), {}
    fleet.wait_workers(_WORKERS)
    [store] = balancer.pids("store")

    def load(name: str, seconds: int) -> None:
        runs[name] = send(workload, int(balancer.url.rpartition(":")[2]), seconds, core)
        click.echo(f"{name}: {runs[name].requests / runs[name].seconds:,.0f} requests/s", err=True)

    moments: list[float] = []

    def go_on() -> None:
        moments.append(time.time())
        os.kill(store, signal.SIGCONT)

    with Steady(balancer.url, workload.path, _STEADY_CLIENTS) as steady:
        load("before", _CALM_SECONDS)
        with _stopped_after(store, _TURN_AT_SECONDS):
            load("the store stops", _TURN_SECONDS)
            load("it stands still", seconds - _TURN_SECONDS)  # the rest is in the runs around it
            Timer(_TURN_AT_SECONDS, go_on).start()
            load("it goes on", _TURN_SECONDS)
        back = _back(balancer, *moments)
        load("after", _CALM_SECONDS)
    return Found(runs, steady, back, _counts_return(fleet))


@contextmanager
def _stopped_after(pid: int, seconds: float) -> Iterator[None]:
    """Have a process stand still from then on; within the block, or at its end, it goes on."""
    stop = Timer(seconds, os.kill, (pid, signal.SIGSTOP))
    stop.start()
    try:
        yield
    finally:
        stop.cancel()
        stop.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _back(balancer: Balancer, went_on: float) -> float | None:
    """Wait until each worker has told of its outage's end; return how long after `went_on` the last came."""
    fleet = open_fleet(balancer.store_url, Keys())
    with suppress(AssertionError):
        ends = eventually(lambda: ends_of(fleet.workers(), went_on), seconds=_BACK_SECONDS)
        return max(ends) - went_on
    return None


def ends_of(workers: list[WorkerStatus], went_on: float) -> list[float] | None:
    """Return when each worker began to ask the store again; None until all have told."""
    ends = [worker.degraded_until for worker in workers]
    told = [end for end in ends if end is not None and end >= went_on - _ROUNDED_SECONDS]
    return told if len(told) == _WORKERS else None


def _counts_return(fleet: Fleet) -> bool:
    with suppress(AssertionError):
        fleet.wait_idle()
        return True
    return False


if __name__ == "__main__":
    main()
