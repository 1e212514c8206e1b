"""`lb-admin strategy`: how the next server is chosen."""

from __future__ import annotations

import click

from lb.admin.operators import Operator, operator_command
from lb.admin.output import NOTHING
from lb.admin.parameters import STRATEGY
from lb.strategies import STRATEGIES


@click.command("strategy")
@click.argument("name", metavar="[NAME]", required=False, type=STRATEGY)
@operator_command
def command(operator: Operator, name: str | None) -> None:
    """Show or set the strategy.

    Without NAME, prints the one in use. With NAME, every later pick of every worker follows it, until the
    strategy in config.json is changed to another. NAME is round-robin, random or least-connections.

    \b
    Examples:
      lb-admin strategy
      lb-admin strategy least-connections
    """
    if name:
        operator.pool.set_strategy(name, operator.by)
    strategy = name or operator.pool.snapshot().strategy
    operator.say(strategy or NOTHING)
    operator.show_json({"strategy": strategy, "known": list(STRATEGIES)})
