"""How outcomes look: tables for people, JSON for programs. Colours and wrapping only on a terminal.

Piped output is plain and stable: every column as wide as it needs, two spaces apart, `-` where nothing is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat

import click
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lb.api.serialise import Json

NOTHING = "-"

_UNLIMITED = 100_000  # columns of a terminal that is none
_GAP = 2  # columns between two cells
_READABLE_PROSE = 30  # columns that running text gets before less important columns are shown
_LEAST_PROSE = 16  # and in the end, on a terminal that is too narrow for anything
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def clean(text: str) -> str:
    """Make foreign text harmless: a server chooses what its checks report, and could drive the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def cell(value: object, style: str = "") -> Text:
    """Make one cell of a table; markup in it is not read."""
    return Text(clean(str(value)) or NOTHING, style)


class Rows:
    """Rows under headings; a terminal that is too narrow for all columns gets the important ones.

    Columns in `numbers` align to the right, those in `prose` may wrap. `expendable` are left out one after
    the other until the rest fits, and then named below; if nothing helps, each row is a paragraph.
    """

    def __init__(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[Text]],
        *,
        numbers: Collection[str] = (),
        prose: Collection[str] = (),
        expendable: Sequence[str] = (),
    ) -> None:
        cells: Iterable[tuple[Text, ...]] = zip(*rows, strict=True) if rows else repeat((), len(headings))
        self._columns = dict(zip(headings, cells, strict=True))
        self._numbers = numbers
        self._prose = prose
        self._expendable = expendable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out what fits."""
        yield self.fitted(options.max_width)

    def fitted(self, width: int) -> RenderableType:
        """Return what fits into so many columns."""
        left_out = self._left_out(width)
        important = [heading for heading in self._columns if heading not in left_out]
        least = sum(self._width(heading, _LEAST_PROSE) + _GAP for heading in important) - _GAP
        fitted = [self._table(important)] if least <= width else self._paragraphs(important)
        if left_out:
            fitted.append(cell(f"a wider terminal also shows {', '.join(left_out)}", "dim"))
        return Group(*fitted)

    def _left_out(self, width: int) -> Sequence[str]:
        needed = {heading: self._width(heading, _READABLE_PROSE) + _GAP for heading in self._columns}
        for count in range(len(self._expendable)):
            if sum(needed.values()) - _GAP <= width:
                return self._expendable[:count]
            del needed[self._expendable[count]]
        return self._expendable

    def _table(self, headings: Sequence[str]) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for heading in headings:
            table.add_column(
                heading,
                justify="right" if heading in self._numbers else "left",
                min_width=self._width(heading, _LEAST_PROSE),
                no_wrap=heading not in self._prose,
            )
        for row in zip(*(self._columns[heading] for heading in headings), strict=True):
            table.add_row(*row)
        return table

    def _paragraphs(self, headings: Sequence[str]) -> list[RenderableType]:
        lines: list[RenderableType] = []
        for first, *others in zip(*(self._columns[heading] for heading in headings), strict=True):
            name = first.copy()
            name.no_wrap, name.overflow = True, "ignore"  # to be copied whole
            said = (
                Text.assemble(f"{heading.lower()} ", value)
                for heading, value in zip(headings[1:], others, strict=True)
                if value.plain != NOTHING
            )
            lines += [name, Padding(Text(", ").join(said), (0, 0, 0, _GAP))]
        return lines

    def _width(self, heading: str, prose_width: int) -> int:
        width = max([len(heading), *(each.cell_len for each in self._columns[heading])])
        return min(width, prose_width) if heading in self._prose else width


def facts_of(facts: Mapping[str, Text]) -> Table:
    """Lay names and values out, aligned."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(cell(name), value)
    return table


def print_table(table: Table | Rows) -> None:
    """Print it, in colours on a terminal and plainly elsewhere."""
    console = Console(file=sys.stdout)
    unlimited = console.options.update(width=_UNLIMITED)
    if not console.is_terminal:
        console.width = _UNLIMITED
    elif isinstance(table, Table):  # one that is too wide is broken by the terminal, not within its columns
        console.width = max(console.width, Measurement.get(console, unlimited, table).minimum)
    with console.capture() as captured:
        console.print(table, crop=False)
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
