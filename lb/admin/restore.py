"""`lb-admin restore`: removed servers come back."""

from __future__ import annotations

import click

from lb.admin.operators import Operator, operator_command
from lb.admin.parameters import REMOVED_SERVER
from lb.api import serialise
from lb.model import Server, ServerId


@click.command("restore")
@click.argument("servers", metavar="SERVER...", nargs=-1, required=True, type=REMOVED_SERVER)
@operator_command
def command(operator: Operator, servers: tuple[ServerId, ...]) -> None:
    """Bring back removed servers.

    Each comes back with its URL and weight, ready for requests, whether an operator removed it or the
    health-checker did because it gave no answer for too long.

    \b
    Examples:
      lb-admin list --removed
      lb-admin restore localhost:5001

    A SERVER is its id (localhost:5001) or its URL.
    """

    def restore(server: ServerId) -> Server:
        return operator.pool.restore(server, operator.by)

    restored = []
    for server in operator.each(servers, restore):
        operator.say(f"{server.id} restored, weight {server.weight}")
        restored.append(server)
    operator.show_json(serialise.server(server) for server in restored)
