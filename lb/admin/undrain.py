"""`lb-admin undrain`: servers get requests again."""

from __future__ import annotations

import click

from lb.admin.operators import Operator, operator_command
from lb.admin.parameters import SERVER
from lb.admin.wishes import set_wish
from lb.api import serialise
from lb.model import Admin, ServerId


@click.command("undrain")
@click.argument("servers", metavar="SERVER...", nargs=-1, required=True, type=SERVER)
@operator_command
def command(operator: Operator, servers: tuple[ServerId, ...]) -> None:
    """Make servers ready for requests again.

    Ends a drain or a maintenance. A server that is down gets requests when its health checks pass.

    \b
    Example:
      lb-admin undrain localhost:5001

    A SERVER is its id (localhost:5001) or its URL.
    """
    ready = set_wish(operator, servers, Admin.READY)
    operator.show_json(serialise.server(server) for server in ready)
