"""How outcomes look: tables for people, JSON for programs. Colours and wrapping only on a terminal.

Piped output is plain and stable: every column as wide as it needs, two spaces apart, `-` where nothing is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat

import click
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lb.api.serialise import Json
from lb.store.values import printable

NOTHING = "-"

_UNLIMITED = 100_000  # columns of a terminal that is none
_GAP = 2  # columns between two cells
_READABLE_PROSE = 30  # columns that running text gets before less important columns are shown
_LEAST_PROSE = 16  # and in the end, on a terminal that is too narrow for anything
_READABLE_NAME = 40  # columns of a name, likewise: what is longer loses its middle
_LEAST_NAME = 18
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def cell(value: object, style: str = "") -> Text:
    """Make one cell of a table; markup in it is not read."""
    return Text(printable(str(value)) or NOTHING, style)


class Rows:
    """Rows under headings; a terminal that is too narrow for all columns gets the important ones.

    The first column names the row. Those in `numbers` align to the right, those in `prose` may wrap. Of
    `expendable` one after the other is left out until the rest fits, and then named below. Long names are
    shortened next, then `sacrificed` goes too; if nothing helps, each row is a paragraph with its whole name.
    """

    def __init__(  # noqa: PLR0913 - each is a kind of column
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence[Text]],
        *,
        numbers: Collection[str] = (),
        prose: Collection[str] = (),
        expendable: Sequence[str] = (),
        sacrificed: Sequence[str] = (),
    ) -> None:
        cells: Iterable[tuple[Text, ...]] = zip(*rows, strict=True) if rows else repeat((), len(headings))
        self._columns = dict(zip(headings, cells, strict=True))
        self._others = headings[1:]
        self._longest_name = self._width_of(headings[0])
        self._numbers = numbers
        self._prose = prose
        self._expendable = [heading for heading in expendable if heading in headings]
        self._sacrificed = [heading for heading in sacrificed if heading in headings]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out what fits."""
        yield self.fitted(options.max_width)

    def fitted(self, width: int) -> RenderableType:
        """Return what fits into so many columns."""
        left_out = self._left_out(width)
        important = [heading for heading in self._columns if heading not in left_out]
        name = self._name_width(important[1:], width)
        if name < min(self._longest_name, _LEAST_NAME):
            fitted = self._paragraphs(important)
        else:
            fitted = [self._table(important, name)]
            left_out = [*left_out, *(["whole names"] if name < self._longest_name else [])]
        if left_out:
            fitted.append(cell(f"a wider terminal also shows {', '.join(left_out)}", "dim"))
        return Group(*fitted)

    def _left_out(self, width: int) -> Sequence[str]:
        left_out: list[str] = []
        for columns, name, prose in (
            (self._expendable, _READABLE_NAME, _READABLE_PROSE),
            (self._sacrificed, _LEAST_NAME, _LEAST_PROSE),
        ):
            for heading in columns:
                others = [other for other in self._others if other not in left_out]
                if min(self._longest_name, name) + self._total(others, prose) <= width:
                    return left_out
                left_out.append(heading)
        return left_out

    def _name_width(self, others: Iterable[str], width: int) -> int:
        """Return what the other columns leave for names: prose goes before what is readable of a name."""
        others = list(others)
        ample, scarce = (width - self._total(others, prose) for prose in (_READABLE_PROSE, _LEAST_PROSE))
        return min(self._longest_name, max(ample, min(scarce, _READABLE_NAME)))

    def _total(self, headings: Iterable[str], prose_width: int) -> int:
        return sum(_GAP + self._width(heading, prose_width) for heading in headings)

    def _table(self, headings: Sequence[str], name_width: int) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for heading in headings:
            table.add_column(
                heading,
                justify="right" if heading in self._numbers else "left",
                min_width=name_width if heading == headings[0] else self._width(heading, _LEAST_PROSE),
                no_wrap=heading not in self._prose,
            )
        for name, *others in zip(*(self._columns[heading] for heading in headings), strict=True):
            table.add_row(_shortened(name, name_width), *others)
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
        width = self._width_of(heading)
        return min(width, prose_width) if heading in self._prose else width

    def _width_of(self, heading: str) -> int:
        return max([len(heading), *(each.cell_len for each in self._columns[heading])])


def _shortened(name: Text, width: int) -> Text:
    """Take out the middle: names of servers differ at both ends."""
    if name.cell_len <= width:
        return name
    end = width // 2
    return Text.assemble(name[: width - end - 1], "\N{HORIZONTAL ELLIPSIS}", name[-end:])


def facts_of(facts: Mapping[str, Text]) -> Table:
    """Lay names and values out, aligned."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(cell(name), value)
    return table


def terminal_width() -> int | None:
    """Return the columns of the terminal; None if the output goes elsewhere."""
    console = Console(file=sys.stdout)
    return console.width if console.is_terminal else None


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


def json_text(value: Json | Iterable[Json]) -> str:
    """Write a JSON document."""
    return json.dumps(value if isinstance(value, Mapping) else list(value), indent=2)


def ago(then: float | None, now: float) -> str:
    """Say how long a time is past, in its largest unit: "3m ago". Both are by the store's clock."""
    if then is None:
        return NOTHING
    seconds = int(max(0.0, now - then))
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return "now"
