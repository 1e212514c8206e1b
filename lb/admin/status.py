"""`lb-admin status`: the whole balancer on one screen."""

from __future__ import annotations

from itertools import groupby

import click
from rich.text import Text

from lb.admin import output
from lb.admin.operators import Operator, operator_command
from lb.admin.output import ago, cell
from lb.api import serialise
from lb.api.overview import Overview, look
from lb.model import WorkerStatus
from lb.store.client import masked

_WORKERS = ("HOST", "WORKERS", "CONNECTIONS", "OLDEST HEARTBEAT", "BEHIND")
_NUMBERS = frozenset({"WORKERS", "CONNECTIONS", "BEHIND"})


@click.command("status")
@operator_command
def command(operator: Operator) -> None:
    """Show the whole balancer on one screen.

    The strategy, the pool's version, how many servers may get requests, the connections in flight, who
    checks health, and the workers of each host. BEHIND counts workers that have not yet read the newest
    version of the pool; their picks obey it all the same.

    \b
    Examples:
      lb-admin status
      lb-admin status --json | jq .servers.eligible
    """
    overview = look(operator.pool, operator.fleet)
    operator.show_json(serialise.overview(overview))
    if not operator.as_json:
        output.print_facts(_facts(operator, overview))
        if overview.workers:
            click.echo()
            output.print_table(_WORKERS, _hosts(overview), _NUMBERS)


def _facts(operator: Operator, overview: Overview) -> dict[str, Text]:
    total = len(overview.servers)
    all_eligible = "green" if overview.eligible == total else "yellow" if overview.eligible else "red"
    checker = overview.health_checker
    return {
        "store": cell(f"reachable, {masked(operator.target.url)}", "green"),
        "strategy": cell(overview.strategy),
        "pool version": cell(overview.version),
        "servers": cell(f"{overview.eligible} of {total} eligible", all_eligible),
        "connections": cell(overview.connections),
        "workers": cell(len(overview.workers), "" if overview.workers else "red"),
        "health-checker": cell(checker or "none", "" if checker else "red"),
    }


def _hosts(overview: Overview) -> list[list[Text]]:
    workers = sorted(overview.workers, key=_host)
    return [_host_row(host, list(group), overview.version) for host, group in groupby(workers, key=_host)]


def _host(worker: WorkerStatus) -> str:
    return worker.host


def _host_row(host: str, workers: list[WorkerStatus], version: int) -> list[Text]:
    return [
        cell(host),
        cell(len(workers)),
        cell(sum(worker.connections for worker in workers)),
        cell(ago(min(worker.heartbeat for worker in workers))),
        cell(sum(worker.version < version for worker in workers)),
    ]
