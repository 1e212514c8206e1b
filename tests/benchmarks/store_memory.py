"""`python -m tests.benchmarks.store_memory`: what each server and each worker takes of the store's memory."""

from __future__ import annotations

import time

import click
import redis

from lb.model import WorkerId
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from lb.store.session import Session
from tests.benchmarks.store import specs, store_on

_FEW, _MANY = 5, 1000  # servers
_WORKERS = 256


@click.command()
@click.option("--core", default=1, show_default=True, help="The store's.")
def main(core: int) -> None:
    """Print a Markdown table of bytes."""
    with store_on(core, append_only=True) as (client, _):
        pool = BackendPool(client, Keys())
        empty = int(client.info("memory")["used_memory"])
        pool.reconcile(specs(_FEW), "least-connections", "benchmark")
        few = _used(client)
        pool.reconcile(specs(_MANY), "least-connections", "benchmark")
        many = _used(client)
        _register(client, 0)
        idle = _used(client)
        _register(client, _MANY)
        busy = _used(client)
    click.echo("| | bytes |")
    click.echo("|---|---:|")
    click.echo(f"| the store itself | {empty:,} |")
    click.echo(f"| each server of the pool | {(many - few) / (_MANY - _FEW):,.0f} |")
    click.echo(f"| each worker | {(idle - many) / _WORKERS:,.0f} |")
    click.echo(
        f"| each server that a worker has sent requests to | {(busy - idle) / _WORKERS / _MANY:,.0f} |"
    )


def _register(client: redis.Redis, servers: int) -> None:
    """Have all workers tell that they hold a request at so many servers."""
    session = Session(client, Keys())
    held = [word for spec in specs(servers) for word in (spec.id, 1)]
    for number in range(_WORKERS):
        worker = WorkerId(f"benchmark-host-{number}")
        own = {"worker": Keys().worker(worker), "worker_connections": Keys().worker_connections(worker)}
        session.run("register", worker, "benchmark-host", number, time.time(), 1, *held, **own)


def _used(client: redis.Redis) -> int:
    """Add up all keys but the events, which are as many as may be in the end."""
    keys = [key for key in client.scan_iter(count=1000) if key != Keys().events]
    return sum(client.memory_usage(key, samples=0) for key in keys)


if __name__ == "__main__":
    main()
