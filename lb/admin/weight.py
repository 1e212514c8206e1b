"""`lb-admin weight`: a server's share of the requests."""

from __future__ import annotations

import click

from lb.admin.operators import Operator, operator_command
from lb.admin.parameters import SERVER, WEIGHT
from lb.api import serialise
from lb.model import ServerId


@click.command("weight")
@click.argument("server", type=SERVER)
@click.argument("weight", metavar="N", type=WEIGHT)
@operator_command
def command(operator: Operator, server: ServerId, weight: int) -> None:
    """Set a server's share of the requests.

    A server of weight 3 gets three times what one of weight 1 gets. N is 1 to 256; `drain` is the way to
    give a server nothing.

    \b
    Example:
      lb-admin weight localhost:5001 3

    SERVER is its id (localhost:5001) or its URL.
    """
    changed = operator.pool.set_weight(server, weight, operator.by)
    operator.say(f"{changed.id} has weight {changed.weight}")
    operator.show_json(serialise.server(changed))
