"""`lb-admin list`: every server on a line."""

from __future__ import annotations

import click

from lb.admin import output, views
from lb.admin.failures import warn
from lb.admin.operators import Operator, operator_command
from lb.api import serialise


@click.command("list")
@click.option("--removed", is_flag=True, help="Show the servers that left the pool and can be restored.")
@operator_command
def command(operator: Operator, *, removed: bool) -> None:
    """Show the servers, with their states and live figures.

    STATE is what is observed (up or down), after what you asked for if that is drain or maint; only a
    server that is simply `up` gets requests. CONNECTIONS are requests in flight, and FAILURES consecutive
    failures on real traffic, of all workers on all hosts together. If no server is up, requests go to all
    that you have not drained, unless `healthCheck.failOpen` is false; a warning says so.

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
            output.print_table(views.removed_servers(gone, operator.pool.now()))
        return
    snapshot, servers = operator.pool.look()
    operator.show_json(serialise.server_status(status) for status in servers)
    if not operator.as_json:
        output.print_table(views.servers(servers, operator.pool.now()))
        if snapshot.fails_open:
            warn(f"no server is up, {views.FAIL_OPEN}")
        if snapshot.damage:
            warn(
                f"the pool in the store is damaged ({snapshot.damage}); workers repair it from what they know"
            )
        if not servers:
            click.echo("the pool is empty; `lb-admin add URL` adds a server", err=True)
            operator.warn_if_unused()
