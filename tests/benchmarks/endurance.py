"""`python -m tests.benchmarks.endurance`: is a worker after millions of requests what it was before."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import click
import gevent

from tests.benchmarks.idle import memory_bytes
from tests.benchmarks.mixed import Clients, running_server
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet
from tests.support import eventually

_MEBIBYTE = 1 << 20
_MOST_DRIFT = 0.05  # of the worker's memory, after the warm-up
_WARM_UP = 0.2  # of the requests
_SAMPLES = 20
_ESTABLISHED = "01"  # in /proc/net/tcp


@click.command()
@click.option("--requests", default=2_000_000, show_default=True, type=click.IntRange(1000))
@click.option("--clients", default=48, show_default=True, type=click.IntRange(1))
@click.option("--minutes", default=60, show_default=True, type=click.IntRange(1), help="Longest time.")
def main(requests: int, clients: int, minutes: int) -> None:
    """Send requests of mixed kinds, with cuts and errors; exit 1 if anything grows, drifts or surprises."""
    with gevent.Timeout(60 * minutes, click.ClickException(f"not done in {minutes} minutes")):
        with running_server() as port, Balancer(_config(port), workers=1) as balancer:
            faults = _endure(balancer, port, requests, clients)
    for fault in faults:
        click.echo(f"FAULT: {fault}")
    click.echo("nothing grew, drifted or surprised" if not faults else f"{len(faults)} faults")
    sys.exit(bool(faults))


def _config(port: int) -> dict[str, Any]:
    """Three names of one server; nothing that it does takes it out of the pool."""
    return {
        "servers": [f"http://{name}:{port}" for name in ("127.0.0.1", "127.0.0.2", "127.0.0.3")],
        "healthCheckInterval": "30s",
        "healthCheck": {"path": "/check", "fall": 1000},
        "passiveHealth": {"failures": 0},
    }


def _endure(balancer: Balancer, server_port: int, requests: int, count: int) -> list[str]:
    [pid] = balancer.worker_pids()
    clients = Clients(int(balancer.url.rpartition(":")[2]), count)
    click.echo(f"{'requests':>12} {'per second':>12} {'worker, MiB':>12} {'descriptors':>12}")
    _send(clients, pid, int(requests * _WARM_UP))
    before = _at_rest(balancer, pid, server_port)
    memory = _send(clients, pid, requests - clients.done)
    after = _at_rest(balancer, pid, server_port)
    click.echo(f"descriptors at rest: {before} after the warm-up, {after} at the end")
    click.echo("requests by kind: " + ", ".join(f"{name} {n:,}" for name, n in clients.counts.items()))
    faults = [f"{number:,} of {what}" for what, number in clients.unexpected.items()]
    middle = statistics.median(memory)
    drift = max(max(memory) / middle - 1, 1 - min(memory) / middle)
    click.echo(f"memory after the warm-up: within {drift:.1%} of its median, {middle / _MEBIBYTE:.1f} MiB")
    if drift > _MOST_DRIFT:
        faults.append(f"the worker's memory moved by {drift:.1%} (bar: {_MOST_DRIFT:.0%})")
    if after > before:
        faults.append(f"{after - before} descriptors more than after the warm-up")
    if balancer.worker_pids() != [pid]:
        faults.append("the worker was replaced")
    return faults


def _send(clients: Clients, pid: int, requests: int) -> list[int]:
    """Send requests; return the worker's memory as it went."""
    sending = gevent.spawn(clients.send, requests)
    memory = []
    began, first = time.monotonic(), clients.done
    for sample in range(1, _SAMPLES + 1):
        while clients.done - first < requests * sample // _SAMPLES and not sending.ready():
            gevent.sleep(0.05)
        memory.append(memory_bytes(pid))
        rate = (clients.done - first) / (time.monotonic() - began)
        row = f"{clients.done:12,} {rate:12,.0f} {memory[-1] / _MEBIBYTE:12.1f} {_descriptors(pid):12}"
        click.echo(row)
    sending.get()
    return memory


def _at_rest(balancer: Balancer, pid: int, server_port: int) -> int:
    """Wait until no request is counted and no client is connected; return how many descriptors are open.

    The worker's connections to servers are left out: it may keep as many as were busy at once.
    """
    fleet = Fleet(balancer)
    fleet.wait_idle(10)
    eventually(lambda: not any(fleet.owners()), seconds=10, what="the end of all clients' connections")
    return _descriptors(pid) - _kept(server_port)


def _kept(server_port: int) -> int:
    """Count the connections to the servers, as only the worker has some for long."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[2].rpartition(":")[2], 16) == server_port and row[3] == _ESTABLISHED for row in rows)


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


if __name__ == "__main__":
    main()
