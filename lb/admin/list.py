"""`lb-admin list`: every server on a line."""

from __future__ import annotations

import click
from rich.text import Text

from lb.admin import output
from lb.admin.operators import Operator, operator_command
from lb.admin.output import ago, cell
from lb.api import serialise
from lb.model import Admin, Health, RemovedServer, Server, ServerStatus

_SERVERS = ("SERVER", "STATE", "WHY", "SINCE", "WEIGHT", "CONNECTIONS", "FAILURES", "LAST CHECK", "SOURCE")
_REMOVED = ("SERVER", "WHY", "SINCE", "WEIGHT", "SOURCE")
_NUMBERS = frozenset({"WEIGHT", "CONNECTIONS", "FAILURES"})
_PROSE = frozenset({"WHY", "LAST CHECK"})


@click.command("list")
@click.option("--removed", is_flag=True, help="Show the servers that left the pool and can be restored.")
@operator_command
def command(operator: Operator, *, removed: bool) -> None:
    """Show the servers, with their states and live figures.

    STATE is what is observed (up or down), after what you asked for if that is drain or maint; only a
    server that is simply `up` gets requests. CONNECTIONS are requests in flight, and FAILURES consecutive
    failures on real traffic, of all workers on all hosts together.

    \b
    Examples:
      lb-admin list
      lb-admin list --removed
      lb-admin list --json | jq -r '.[] | select(.eligible) | .id'
    """
    if removed:
        gone = operator.pool.removed()
        operator.show_json(serialise.removed_server(server) for server in gone)
        if not operator.as_json:
            output.print_table(_REMOVED, [_removed_row(server) for server in gone], _NUMBERS, _PROSE)
        return
    servers = operator.pool.list()
    operator.show_json(serialise.server_status(status) for status in servers)
    if not operator.as_json:
        output.print_table(_SERVERS, [_row(status) for status in servers], _NUMBERS, _PROSE)
        if not servers:
            click.echo("the pool is empty; `lb-admin add URL` adds a server", err=True)


def _row(status: ServerStatus) -> list[Text]:
    server = status.server
    return [
        cell(server.id),
        _state(server),
        cell(server.reason),
        cell(ago(server.since)),
        cell(server.weight),
        cell(status.connections),
        cell(status.failures, "red" if status.failures else ""),
        _last_check(status),
        cell(server.source),
    ]


def _state(server: Server) -> Text:
    if server.admin is Admin.READY:
        return cell(server.health, "green" if server.health is Health.UP else "red")
    return cell(f"{server.admin}, {server.health}", "yellow")


def _last_check(status: ServerStatus) -> Text:
    check = status.last_check
    if check is None:
        return cell("")
    text = f"{check.detail} {check.duration_seconds * 1000:.1f} ms, {ago(status.last_check_at)}"
    return cell(text, "" if check.passed else "red")


def _removed_row(server: RemovedServer) -> list[Text]:
    return [
        cell(server.id),
        cell(server.reason),
        cell(ago(server.at)),
        cell(server.weight),
        cell(server.source),
    ]
