"""`lb-admin remove`: servers leave the pool."""

from __future__ import annotations

from collections.abc import Collection

import click

from lb.admin.failures import warn
from lb.admin.operators import Operator, operator_command
from lb.admin.parameters import SERVER
from lb.model import ServerId, Source


@click.command("remove")
@click.argument("servers", metavar="SERVER...", nargs=-1, required=True, type=SERVER)
@operator_command
def command(operator: Operator, servers: tuple[ServerId, ...]) -> None:
    """Take servers out of the pool at once.

    No later request goes to them; requests that are open go on to their end. To wait for these, drain first.
    `lb-admin list --removed` shows what was removed and `lb-admin restore` brings it back. A server that
    config.json names comes back when that is read anew; drain it, or take it out of the file too. One that
    the health-checker removed for its silence no longer comes back by itself.

    \b
    Examples:
      lb-admin remove localhost:5001
      lb-admin drain localhost:5001 --wait && lb-admin remove localhost:5001

    A SERVER is its id (localhost:5001) or its URL.
    """

    def remove(server: ServerId) -> ServerId:
        operator.pool.remove(server, operator.by)
        return server

    removed = []
    for server in operator.each(servers, remove):
        operator.say(f"{server} removed")
        removed.append(server)
    if removed:
        _warn_of_return(operator, removed)
        operator.warn_if_none_eligible()
    operator.show_json({"removed": removed})


def _warn_of_return(operator: Operator, removed: Collection[ServerId]) -> None:
    """Say which of them a configuration names, as that brings them back."""
    records = operator.pool.removed()
    named = [one.id for one in records if one.id in removed and one.source is Source.CONFIG]
    if named:
        warn(
            f"{', '.join(named)}: named by a configuration, so back when that is read again, "
            "by a reload or a start; "
            'take it out of "servers" there too, or keep it in the pool and drain it'
        )
