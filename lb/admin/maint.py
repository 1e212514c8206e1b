"""`lb-admin maint`: servers get neither requests nor health checks."""

from __future__ import annotations

import click

from lb.admin.operators import Operator, operator_command
from lb.admin.parameters import SERVER
from lb.admin.wishes import set_wish
from lb.api import serialise
from lb.model import Admin, ServerId


@click.command("maint")
@click.argument("servers", metavar="SERVER...", nargs=-1, required=True, type=SERVER)
@operator_command
def command(operator: Operator, servers: tuple[ServerId, ...]) -> None:
    """Put servers in maintenance: drain, and no health checks.

    Open requests end, no new ones come, and a server that is switched off meanwhile is neither marked down
    nor removed. `lb-admin undrain` ends it.

    \b
    Example:
      lb-admin maint localhost:5001

    A SERVER is its id (localhost:5001) or its URL.
    """
    resting = set_wish(operator, servers, Admin.MAINT)
    operator.show_json(serialise.server(server) for server in resting)
