"""`lb-admin top`: the whole balancer, live."""

from __future__ import annotations

import time

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from lb.admin import views
from lb.admin.failures import Refusal
from lb.admin.operators import Operator, operator_command
from lb.admin.output import cell
from lb.admin.parameters import INTERVAL
from lb.api.overview import look
from lb.errors import StoreUnavailableError


@click.command("top")
@click.option("--interval", type=INTERVAL, default="1s", show_default=True, help="How often to look.")
@operator_command
def command(operator: Operator, interval: float) -> None:
    """Watch the whole balancer, live.

    What `status` and `list` show, and how much each server does: requests per second, the latency of the
    median (P50) and of the slowest hundredth (P99), and the share of failed requests, over the last ten
    seconds. Again and again, until Ctrl-C. If the store goes away it says so, and goes
    on when the store is back.

    \b
    Examples:
      lb-admin top
      lb-admin top --interval 200ms
    """
    console = Console()
    if operator.as_json or not console.is_terminal:
        raise Refusal("top is for a terminal; `status --json`, `list --json` and `events` are for programs")
    first = _screen(operator)
    try:
        with Live(first, console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                live.update(_screen_or_reason(operator), refresh=True)
    except KeyboardInterrupt:
        return  # the way to end it


def _screen(operator: Operator) -> RenderableType:
    overview = look(operator.pool, operator.fleet)
    rates = operator.rates.look()
    facts = views.facts(overview, operator.target.url, rates)
    return Group(facts, Text(), views.servers(overview.servers, rates), Text(), views.hosts(overview))


def _screen_or_reason(operator: Operator) -> RenderableType:
    try:
        return _screen(operator)
    except StoreUnavailableError as error:
        return cell(error, "red")
