"""How outcomes look: tables for people, JSON for programs. Colours and wrapping only on a terminal.

Piped output is plain and stable: every column as wide as it needs, two spaces apart, `-` where nothing is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lb.api.serialise import Json

NOTHING = "-"

_UNLIMITED = 100_000  # columns of a terminal that is none
_LEAST_PROSE = 16  # columns that running text gets on a narrow terminal
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def clean(text: str) -> str:
    """Make foreign text harmless: a server chooses what its checks report, and could drive the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def cell(value: object, style: str = "") -> Text:
    """Make one cell of a table; markup in it is not read."""
    return Text(clean(str(value)) or NOTHING, style)


def table_of(
    headings: Sequence[str],
    rows: Sequence[Sequence[Text]],
    numbers: Collection[str],
    prose: Collection[str] = (),
) -> Table:
    """Lay rows out under headings; columns in `numbers` align to the right, those in `prose` may wrap."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for position, heading in enumerate(headings):
        widest = max([len(heading), *(row[position].cell_len for row in rows)])
        wraps = heading in prose
        table.add_column(
            heading,
            justify="right" if heading in numbers else "left",
            min_width=min(widest, _LEAST_PROSE) if wraps else widest,
            no_wrap=not wraps,
        )
    for row in rows:
        table.add_row(*row)
    return table


def facts_of(facts: Mapping[str, Text]) -> Table:
    """Lay names and values out, aligned."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(cell(name), value)
    return table


def print_table(table: Table) -> None:
    """Print it, in colours on a terminal and plainly elsewhere."""
    console = Console(file=sys.stdout)
    unlimited = console.options.update(width=_UNLIMITED)
    # A terminal that is too narrow breaks lines by itself; that reads better than columns of single letters.
    least = Measurement.get(console, unlimited, table).minimum
    console.width = max(console.width, least) if console.is_terminal else _UNLIMITED
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=console.is_terminal)  # rich fills lines up with spaces


def print_json(value: Json | Iterable[Json]) -> None:
    """Print a JSON document."""
    click.echo(json.dumps(value if isinstance(value, Mapping) else list(value), indent=2))


def ago(then: float | None) -> str:
    """Say how long a time (unix seconds) is past, in its largest unit: "3m ago"."""
    if then is None:
        return NOTHING
    seconds = int(max(0.0, time.time() - then))  # another host's clock may be ahead
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return "now"
