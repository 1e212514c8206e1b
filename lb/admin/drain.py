"""`lb-admin drain`: servers finish what they have and get nothing new."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from contextlib import nullcontext

import click
from rich.console import Console

from lb.admin.failures import Refusal
from lb.admin.operators import Operator, operator_command
from lb.admin.output import cell
from lb.admin.parameters import DURATION, SERVER
from lb.admin.wishes import set_wish
from lb.api import serialise
from lb.config import format_duration
from lb.model import Admin, ServerId, ServerStatus

_POLL_SECONDS = 0.2


@click.command("drain")
@click.argument("servers", metavar="SERVER...", nargs=-1, required=True, type=SERVER)
@click.option("--wait", is_flag=True, help="Return when no worker has a request to them any more.")
@click.option(
    "--timeout",
    type=DURATION,
    default="300s",
    show_default=True,
    help="How long to wait before giving up, such as 90s or 5m.",
)
@operator_command
def command(operator: Operator, servers: tuple[ServerId, ...], timeout: float, *, wait: bool) -> None:
    """Give servers no new requests; open ones finish.

    Holds for every worker on every host when the command returns. With --wait it returns when the servers
    have no connection left in the whole fleet, so they can be switched off; exit status 1 if the timeout
    comes first (they stay drained). `lb-admin undrain` ends a drain.

    \b
    Examples:
      lb-admin drain localhost:5001
      lb-admin drain localhost:5001 localhost:5002 --wait --timeout 60s

    A SERVER is its id (localhost:5001) or its URL.
    """
    try:
        drained = set_wish(operator, servers, Admin.DRAIN)
        if wait and drained:
            _wait_until_idle(operator, {server.id for server in drained}, timeout)
            operator.say("no connections left")
    except KeyboardInterrupt:
        raise Refusal("interrupted; what is drained stays so, `lb-admin undrain` ends it") from None
    operator.show_json(serialise.server(server) for server in drained)


def _wait_until_idle(operator: Operator, servers: Collection[ServerId], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    terminal = Console(stderr=True)
    with terminal.status("") if terminal.is_terminal else nullcontext() as progress:
        while busy := _busy(operator.pool.list(), servers):
            left = ", ".join(f"{server} has {count}" for server, count in busy.items())
            if time.monotonic() >= deadline:
                raise Refusal(
                    f"connections are left after {format_duration(timeout_seconds)}: {left}; "
                    "the drain goes on, wait longer with --timeout or remove the server to give up on them"
                )
            if progress:
                progress.update(cell(f"waiting for connections to end: {left}"))
            time.sleep(_POLL_SECONDS)


def _busy(pool: Iterable[ServerStatus], servers: Collection[ServerId]) -> dict[ServerId, int]:
    """Return the connections of those of `servers` that still have some; one that left the pool has none."""
    busy = {}
    for status in pool:
        server = status.server
        if server.id in servers and server.admin is Admin.READY:
            raise Refusal(f"{server.id} was made ready again by someone else, so it does not drain any more")
        if server.id in servers and status.connections:
            busy[server.id] = status.connections
    return busy
