"""`lb-admin top`: the whole balancer, live."""

from __future__ import annotations

import time
from collections.abc import Sequence

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
from lb.api.rates import Rates
from lb.errors import StoreUnavailableError
from lb.model import ServerStatus


@click.command("top")
@click.option("--interval", type=INTERVAL, default="1s", show_default=True, help="How often to look.")
@operator_command
def command(operator: Operator, interval: float) -> None:
    """Watch the whole balancer, live.

    What `status` and `list` show, and how much each server does: requests per second, the latency of the
    median (P50) and of the slowest hundredth (P99), and the share of failed requests, over the last ten
    seconds. Again and again, until Ctrl-C. Servers that take no requests come first. If the store goes
    away it says so, and goes on when the store is back.

    \b
    Examples:
      lb-admin top
      lb-admin top --interval 200ms
    """
    console = Console()
    if operator.as_json or not console.is_terminal:
        raise Refusal("top is for a terminal; `status --json`, `list --json` and `events` are for programs")
    first = _screen(operator, console)
    try:
        with Live(first, console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                live.update(_screen_or_reason(operator, console), refresh=True)
    except KeyboardInterrupt:
        return  # the way to end it


def _screen(operator: Operator, console: Console) -> RenderableType:
    overview = look(operator.pool, operator.fleet)
    rates = operator.rates.look()
    above = Group(views.facts(overview, operator.target.url, rates), Text(), views.hosts(overview), Text())
    room = max(console.height - len(console.render_lines(above)), 2)
    # Those that do not take requests come first: they must be seen when there is not room for all.
    servers = sorted(overview.servers, key=lambda status: status.server.eligible)
    return Group(above, _fitting(servers, overview.at, rates, console, room))


def _fitting(
    servers: Sequence[ServerStatus], now: float, rates: Rates | None, console: Console, room: int
) -> RenderableType:
    """Lay out as many servers as there is room for, in lines, and say how many are left."""
    for count in range(min(len(servers), room), -1, -1):
        table, left = views.servers(servers[:count], now, rates), len(servers) - count
        screen = Group(table, cell(f"{left} more: `lb-admin list` has all", "dim")) if left else table
        if len(console.render_lines(screen)) <= room:
            break
    return screen


def _screen_or_reason(operator: Operator, console: Console) -> RenderableType:
    try:
        return _screen(operator, console)
    except StoreUnavailableError as error:
        return cell(error, "red")
