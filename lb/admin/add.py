"""`lb-admin add`: new servers for the pool."""

from __future__ import annotations

from dataclasses import replace

import click

from lb.admin.operators import Operator, operator_command
from lb.admin.parameters import URL, WEIGHT
from lb.api import serialise
from lb.model import Server, ServerSpec, Source


@click.command("add")
@click.argument("urls", metavar="URL...", nargs=-1, required=True, type=URL)
@click.option(
    "--weight", type=WEIGHT, default=1, show_default=True, help="Share of the requests, for each of them."
)
@operator_command
def command(operator: Operator, urls: tuple[ServerSpec, ...], weight: int) -> None:
    """Add servers to the pool.

    They get requests at once, from every worker on every host, and stay until they are removed; a new start
    or another config.json does not take them away. If one is refused, the others are added all the same.

    \b
    Examples:
      lb-admin add http://localhost:5006
      lb-admin add --weight 3 http://10.0.0.7:8000 http://10.0.0.8:8000
    """

    def add(spec: ServerSpec) -> Server:
        return operator.pool.add(replace(spec, weight=weight), Source.ADMIN, operator.by)

    added = []
    for server in operator.each(urls, add):
        operator.say(f"{server.id} added, weight {server.weight}")
        added.append(server)
    operator.show_json(serialise.server(server) for server in added)
    operator.warn_if_unused()
