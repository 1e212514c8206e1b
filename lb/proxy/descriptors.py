"""The descriptors of a worker: how many clients it can serve with what the system lets it open."""

from __future__ import annotations

import resource
from dataclasses import dataclass

#: Kept for all that is no connection of a client or to a server: the store, logs, name servers.
RESERVE = 64
#: Served with however few descriptors there are.
_FEWEST_CLIENTS = 8
#: A share of the clients wanted that is as good as all: limits of 1,000 times n are usual, and 20,000 is one.
_NEARLY = 0.9
#: Wanted if the system allows it; 1024 is a usual limit.
_MANY = 65536


@dataclass(frozen=True, slots=True)
class Budget:
    """How many connections a worker may have on each side."""

    clients: int
    servers: int  # those kept idle included


def budget(clients: int, open_files: int) -> Budget:
    """Divide the descriptors: each client may need a connection to a server at the same time.

    >>> budget(10_000, 256), budget(100, 1064)
    (Budget(clients=96, servers=96), Budget(clients=100, servers=900))
    """
    free = open_files - RESERVE
    served = min(clients, max(_FEWEST_CLIENTS, free // 2))
    return Budget(served, max(served, free - served))


def allowed(clients: int) -> int:
    """Return how many descriptors a worker that should serve `clients` clients can have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_number(soft), min(_number(hard), max(_MANY, RESERVE + 2 * clients)))


def raise_limit(clients: int) -> None:
    """Let this process open as many as `allowed`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _number(soft) < allowed(clients):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed(clients), hard))


def shortage(clients: int) -> str:
    """Say that a worker cannot serve `clients` clients here; "" if it can, or nearly."""
    open_files = allowed(clients)
    served = budget(clients, open_files).clients
    if served >= _NEARLY * clients:
        return ""
    return (
        f"limits.clients: {clients}, but {open_files} open files allow {served} for each worker: "
        f"raise the limit (LimitNOFILE, ulimit -n) to {RESERVE + 2 * clients}, or set fewer"
    )


def _number(limit: int) -> int:
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit
