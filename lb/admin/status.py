"""`lb-admin status`: the whole balancer on one screen."""

from __future__ import annotations

import click

from lb.admin import output, views
from lb.admin.operators import Operator, operator_command
from lb.api import serialise
from lb.api.overview import look


@click.command("status")
@operator_command
def command(operator: Operator) -> None:
    """Show the whole balancer on one screen.

    The strategy, the pool's version, how many servers may get requests, how many requests end per second
    (measured for about one), the connections in flight, who checks health, and the workers of each host.
    BEHIND counts workers that have not yet read the newest version of the pool; their picks obey it all the
    same. DEGRADED tells of workers that pick, or lately picked, without the store.

    \b
    Examples:
      lb-admin status
      lb-admin status --json | jq .servers.eligible
    """
    overview = look(operator.pool, operator.fleet)
    rates = operator.rates.wait()
    operator.show_json({**serialise.overview(overview), "rates": rates and serialise.rates(rates)})
    if not operator.as_json:
        output.print_table(views.facts(overview, operator.target.url, rates))
        if overview.workers:
            click.echo()
            output.print_table(views.hosts(overview))
    operator.warn_if_unused()
