from __future__ import annotations

import re

import pytest

from lb.admin.output import Rows, ago, cell, print_table


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "now"),
        (-30, "now"),
        (1, "1s ago"),
        (59, "59s ago"),
        (60, "1m ago"),
        (3600, "1h ago"),
        (86400 * 3, "3d ago"),
    ],
)
def test_ago_in_the_largest_unit(seconds, expected):
    assert expected == ago(1_000_000.0 - seconds, 1_000_000.0)


def test_ago_of_never():
    assert ago(None, 1_000_000.0) == "-"


def test_cells_keep_words_and_lose_control_characters():
    assert cell("grün ✓").plain == "grün ✓"
    assert cell("\x1b[31m\n").plain == "\ufffd[31m\ufffd"


def test_terminal_gets_colours_and_uncut_ids_however_narrow(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    row = (cell("server.example:5001", "red"), cell("why " * 20))
    print_table(Rows(("SERVER", "WHY"), [row], prose={"WHY"}))
    out = capsys.readouterr().out

    assert "\x1b[" in out
    assert "server.example:5001" in out
    assert len(out.splitlines()) > 2  # the prose was wrapped


def test_terminal_that_is_too_narrow_for_columns_gets_paragraphs(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    rows = [
        (cell("a-long-name.example:5001"), cell("down", "red"), cell(7)),
        (cell("b:1"), cell("up"), cell(0)),
    ]
    print_table(Rows(("SERVER", "STATE", "CONNECTIONS"), rows, numbers={"CONNECTIONS"}))

    assert plain(capsys.readouterr().out) == [
        "a-long-name.example:5001",
        "  state down,",
        "  connections 7",
        "b:1",
        "  state up,",
        "  connections 0",
    ]


LONG = "ip-10-0-0-7.eu-central-1.compute.internal.example:50061"


@pytest.mark.parametrize(
    ("columns", "row", "last"),
    [
        (75, f"{LONG}  up     admin", "admin"),
        (60, "ip-10-0-0-7.eu-central…internal.example:50061  up     admin", "whole names"),
        (40, "ip-10-0-0-7.eu-c…al.example:50061  up", "SOURCE, whole names"),
        (24, LONG, "shows SOURCE"),
    ],
)
def test_a_long_name_loses_its_middle_before_rows_become_paragraphs(monkeypatch, capsys, columns, row, last):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(
        Rows(("SERVER", "STATE", "SOURCE"), [(cell(LONG), cell("up"), cell("admin"))], expendable=("SOURCE",))
    )
    lines = plain(capsys.readouterr().out)

    assert row in lines
    assert " ".join(" ".join(lines).split()).endswith(last)


def test_what_is_sacrificed_goes_only_where_rows_would_be_paragraphs(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = Rows(
        ("SERVER", "P50", "P99"), [(cell("localhost:5001"), cell("1 ms"), cell("2 ms"))], sacrificed=["P50"]
    )
    for columns, headings in ((26, ["SERVER", "P50", "P99"]), (25, ["SERVER", "P99"])):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_table(rows)
        assert plain(capsys.readouterr().out)[0].split() == headings


def plain(out: str) -> list[str]:
    return re.sub(r"\x1b\[[\d;]*m", "", out).splitlines()


WIDE = Rows(
    ("SERVER", "WHY", "CONNECTIONS", "SINCE", "SOURCE"),
    [
        (cell("localhost:5001"), cell("refused " * 9), cell(7), cell("3s ago"), cell("config")),
        (cell("localhost:5002"), cell(""), cell(1_234_567_890_123), cell("15m ago"), cell("admin")),
    ],
    numbers={"CONNECTIONS"},
    prose={"WHY"},
    expendable=("SOURCE", "SINCE"),
)


@pytest.mark.parametrize(
    ("columns", "left_out"),
    [
        (140, []),
        (78, []),
        (77, ["SOURCE"]),
        (70, ["SOURCE"]),
        (69, ["SOURCE", "SINCE"]),
        (47, ["SOURCE", "SINCE"]),
    ],
)
def test_narrow_terminal_does_without_the_least_important_columns(monkeypatch, capsys, columns, left_out):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(WIDE)
    headings, *rows = plain(capsys.readouterr().out)

    assert [name for name in ("SOURCE", "SINCE") if name not in headings] == left_out
    assert rows[-1].endswith(", ".join(left_out) or "admin")
    assert max(map(len, (headings, *rows))) <= columns
    large = next(row for row in rows if "1234567890123" in row)
    assert large.index("1234567890123") + 13 == headings.index("CONNECTIONS") + 11


def test_piped_table_is_as_wide_as_it_needs(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    print_table(WIDE)

    assert capsys.readouterr().out.splitlines()[0].split() == [
        "SERVER",
        "WHY",
        "CONNECTIONS",
        "SINCE",
        "SOURCE",
    ]
