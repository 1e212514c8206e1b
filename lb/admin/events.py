"""`lb-admin events`: what happened to the pool, and what happens."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterable

import click

from lb.admin import output
from lb.admin.operators import Operator, operator_command
from lb.admin.parameters import EVENT_COUNT
from lb.api import serialise
from lb.model import Event

_BEGINNING = "0-0"  # before every id of a stream


@click.command("events")
@click.option(
    "--count",
    type=EVENT_COUNT,
    default=20,
    show_default=True,
    help="How many of the newest to show.",
)
@click.option("--follow", is_flag=True, help="Go on with each new one, until interrupted.")
@operator_command
def command(operator: Operator, count: int, *, follow: bool) -> None:
    """Show what happened, and what happens.

    One event per line, the newest last: when, what, to which server, by whom, and why. With --json an
    array; with --follow --json one object per line.

    \b
    Examples:
      lb-admin events --count 100
      lb-admin events --follow
    """
    past = operator.pool.events(max(count, 1))
    shown = past[-count:] if count else []
    if not follow:
        operator.show_json(serialise.event(event) for event in shown)
        for event in shown:
            _say(operator, event)
        return
    _tell(operator, shown)
    if operator.unread:
        return
    try:
        _tell(operator, operator.pool.follow_events(past[-1].id if past else _BEGINNING))
    except KeyboardInterrupt:
        return  # the way to end it


def _tell(operator: Operator, events: Iterable[Event]) -> None:
    for event in events:
        _say(operator, event)
        if operator.as_json:
            operator.write(json.dumps(serialise.event(event)))
        if operator.unread:
            return


def _say(operator: Operator, event: Event) -> None:
    line, width = _line(event), output.terminal_width()
    for part in [line] if width is None or len(line) <= width else _folded(event, width):
        operator.say(part)


def _line(event: Event) -> str:
    return f"{_when(event)}  {event.kind:<14}  {_server(event):<22}  {event.by:<20}  {event.detail}".rstrip()


def _folded(event: Event, width: int) -> list[str]:
    """Write it for a terminal that is too narrow for a line: who and why stand below what."""
    what = f"{_when(event)}  {event.kind}  {_server(event)}"
    why = f"{event.by}  {event.detail}".rstrip()
    fold = textwrap.TextWrapper(
        width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return [*fold.wrap(what), *fold.wrap(f"    {why}")]


def _when(event: Event) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))


def _server(event: Event) -> str:
    return event.server or output.NOTHING
