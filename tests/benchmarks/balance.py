"""`python -m tests.benchmarks.balance`: how evenly workers share the clients that connect."""

from __future__ import annotations

import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence

import click

from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet
from tests.integration.load import Client
from tests.integration.servers import servers
from tests.support import eventually

_MOST = 0.65  # of the connections, for the busiest of two workers
_NEW = 1000
_LONG = 64
_AT_ONCE = 32


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
def main(rounds: int) -> None:
    """Connect to two workers in several ways; exit 1 if one of them takes too many of the clients."""
    worst = 0.0
    with servers(2) as two:
        config = {"servers": [server.url for server in two], "healthCheckInterval": "60s"}
        with Balancer(config, workers=2) as balancer:
            fleet = Fleet(balancer)
            for name, connect in _WAYS.items():
                for _ in range(rounds):
                    clients = connect(balancer.url)
                    shares = _shares(fleet, clients)
                    worst = max(worst, shares[0])
                    click.echo(f"{name}: {' and '.join(f'{share:.0%}' for share in shares)}")
                    for client in clients:
                        client.close()
    click.echo(f"the busiest took {worst:.0%} at most (bar: {_MOST:.0%})")
    sys.exit(worst > _MOST)


def _one_by_one(url: str) -> list[Client]:
    """Each client connects and asks once the one before it was answered; all stay."""
    clients = []
    for _ in range(_NEW):
        clients.append(Client(url))
        assert clients[-1].ask().status == 200
    return clients


def _together(url: str) -> list[Client]:
    """Several threads of clients connect, ask once and stay."""
    return _in_threads(url, _AT_ONCE, _NEW // _AT_ONCE)


def _busy(url: str) -> list[Client]:
    """Many connect while clients that are already in keep both workers busy."""
    stop = threading.Event()

    def keep_asking() -> None:
        with Client(url) as client:
            while not stop.is_set():
                client.ask()

    askers = [threading.Thread(target=keep_asking) for _ in range(8)]
    for asker in askers:
        asker.start()
    clients = _in_threads(url, _AT_ONCE, _NEW // _AT_ONCE)
    stop.set()
    for asker in askers:
        asker.join()
    return clients


def _long(url: str) -> list[Client]:
    """A few that stay for long, one right after the other."""
    return [Client(url) for _ in range(_LONG)]


def _burst(url: str) -> list[socket.socket]:
    """As many in the same instant, without waiting for each other, as load generators do."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    clients = []
    for _ in range(_LONG):
        clients.append(socket.socket())
        clients[-1].setblocking(False)
        clients[-1].connect_ex((host, int(port)))
    return clients


_WAYS: dict[str, Callable[[str], Sequence[Client | socket.socket]]] = {
    f"{_NEW} one by one": _one_by_one,
    f"{_NEW} from {_AT_ONCE} threads": _together,
    f"{_NEW} while others ask": _busy,
    f"{_LONG} one after the other": _long,
    f"{_LONG} in one burst": _burst,
}


def _in_threads(url: str, threads: int, each: int) -> list[Client]:
    clients: list[Client] = []

    def connect() -> None:
        for _ in range(each):
            client = Client(url)
            assert client.ask().status == 200
            clients.append(client)

    running = [threading.Thread(target=connect) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return clients


def _shares(fleet: Fleet, clients: Sequence[Client | socket.socket]) -> list[float]:
    """Return each worker's share of the clients, the busiest first."""
    sockets = [client.socket if isinstance(client, Client) else client for client in clients]
    ports = {sock.getsockname()[1] for sock in sockets}

    def owners() -> dict[int, int] | None:
        found = fleet.owners()
        return found if found.keys() >= ports else None

    by_port = eventually(owners, seconds=20, what="clients that are accepted")
    counts = Counter(by_port[port] for port in ports)
    workers = fleet.balancer.worker_pids()
    return sorted((counts[pid] / len(ports) for pid in workers), reverse=True)


if __name__ == "__main__":
    main()
