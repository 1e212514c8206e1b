"""`python -m tests.benchmarks.idle`: what idle keep-alive connections cost a worker."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tests.benchmarks.cpu import cpu_seconds
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet
from tests.integration.load import Client
from tests.integration.servers import HttpServer, servers

_MOST_BYTES_EACH = 12 * 1024
_MOST_CORE = 0.01
_SPARE_DESCRIPTORS = 500


@click.command()
@click.option("--connections", default=5000, show_default=True, type=click.IntRange(1))
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(1), help="How long they idle."
)
@click.option("--requests", default=1, show_default=True, type=click.IntRange(0), help="On each, before.")
def main(connections: int, seconds: float, requests: int) -> None:
    """Hold idle connections; exit 1 if they cost more than the bars allow."""
    allow_descriptors(connections + _SPARE_DESCRIPTORS)
    with servers(2) as two, balancer_over(two, connections) as balancer:
        [pid] = balancer.worker_pids()
        for client in _connect(balancer.url, 200, 3):  # what its first requests leave is not of idle clients
            client.close()
        Fleet(balancer).wait_idle()
        before = memory_bytes(pid)
        held = _connect(balancer.url, connections, requests)
        Fleet(balancer).wait_idle()
        each = (memory_bytes(pid) - before) / connections
        began, used = time.monotonic(), cpu_seconds([pid])
        time.sleep(seconds)
        core = (cpu_seconds([pid]) - used) / (time.monotonic() - began)
        alive = sum(client.ask().status == 200 for client in held)
        for client in held:
            client.close()
    click.echo(
        f"{connections:,} idle connections after {requests} request(s) each, {alive:,} of them served again:"
    )
    click.echo(
        f"  {each / 1024:.1f} KiB of the worker's memory each (bar: {_MOST_BYTES_EACH / 1024:.0f} KiB)"
    )
    click.echo(f"  {core:.2%} of a core over {seconds:g} s (bar: {_MOST_CORE:.0%})")
    if each > _MOST_BYTES_EACH or core > _MOST_CORE or alive < connections:
        sys.exit(1)


@contextmanager
def balancer_over(started: list[HttpServer], clients: int) -> Iterator[Balancer]:
    """Run a balancer with one worker that keeps its clients for as long as the benchmark lasts."""
    config = {
        "servers": [server.url for server in started],
        "healthCheckInterval": "60s",
        "timeouts": {"keepAlive": "1h"},
        "limits": {"clients": clients + 100},
    }
    with Balancer(config, workers=1) as balancer:
        yield balancer


def memory_bytes(pid: int) -> int:
    """Return a process's resident set."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def allow_descriptors(count: int) -> None:
    """Let this process, and those it starts, open so many files."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise click.ClickException(f"{count} open files are needed, {hard} allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _connect(url: str, count: int, requests: int) -> list[Client]:
    held = []
    for _ in range(count):
        held.append(Client(url))
        for _ in range(requests):
            assert held[-1].ask().status == 200
    return held


if __name__ == "__main__":
    main()
