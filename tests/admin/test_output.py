from __future__ import annotations

import time

import pytest

from lb.admin.output import ago, cell, clean, print_table, table_of


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
def test_ago_in_the_largest_unit(monkeypatch, seconds, expected):
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)

    assert expected == ago(1_000_000.0 - seconds)


def test_ago_of_never():
    assert ago(None) == "-"


def test_clean_leaves_words_and_takes_control_characters():
    assert clean("grün ✓") == "grün ✓"
    assert clean("\x1b[31m\n") == "\ufffd[31m\ufffd"


def test_terminal_gets_colours_and_uncut_ids_however_narrow(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    row = (cell("server.example:5001", "red"), cell("why " * 20))
    print_table(table_of(("SERVER", "WHY"), [row], (), {"WHY"}))
    out = capsys.readouterr().out

    assert "\x1b[" in out
    assert "server.example:5001" in out
    assert len(out.splitlines()) > 2  # the prose was wrapped


def test_terminal_that_is_too_narrow_breaks_no_column(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    table = table_of(("SERVER", "CONNECTIONS"), [(cell("server.example:5001"), cell(7))], {"CONNECTIONS"})
    print_table(table)
    headings, row = capsys.readouterr().out.splitlines()

    assert "CONNECTIONS" in headings
    assert row.endswith("7")
