from __future__ import annotations

import re
import time

from lb.model import Admin, Check, Health
from tests.store.acts import UNANSWERED

HEADINGS = ["SERVER", "STATE", "WHY", "SINCE", "WEIGHT", "CONNECTIONS", "FAILURES", "LAST CHECK", "SOURCE"]


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def test_a_server_on_a_line_under_headings(run, pool, add):
    add()
    pool.record_check("localhost:5001", Check(True, True, "200 OK", 0.0012))
    headings, line = run("list").lines

    assert cells(headings) == HEADINGS
    *before, last_check, source = cells(line)
    assert before == ["localhost:5001", "up", "-", "now", "1", "0", "0"]
    assert re.fullmatch(r"200 OK 1\.2 ms, (now|\ds ago)", last_check)
    assert source == "admin"


def test_state_shows_both_facts_and_why(run, pool, add):
    add("http://localhost:5001")
    add("http://localhost:5002")
    add("http://localhost:5003")
    pool.set_health("localhost:5001", Health.DOWN, "connection refused", "test")
    pool.set_admin("localhost:5002", Admin.DRAIN, "test")
    pool.set_admin("localhost:5003", Admin.MAINT, "test")

    shown = [cells(line)[1:3] for line in run("list").lines[1:]]
    assert shown == [["down", "connection refused"], ["drain, up", "-"], ["maint, up", "-"]]


def test_wide_ids_are_not_cut_and_columns_stay_aligned(run, add):
    wide = f"http://{'a' * 60}.{'b' * 60}.{'c' * 60}.example:65535"
    add(wide)
    add("http://[2001:db8::1]:5001")
    lines = run("list").lines

    assert wide.removeprefix("http://") in lines[1]
    assert len({line.find(word) for line, word in zip(lines, ("STATE", "up ", "up "), strict=True)}) == 1


def test_piped_table_has_no_colours_and_no_trailing_spaces(run, pool, add):
    add()
    pool.set_health("localhost:5001", Health.DOWN, "503 Service Unavailable", "test")
    outcome = run("list")

    assert "\x1b" not in outcome.out
    assert all(line == line.rstrip() for line in outcome.lines)


def test_what_a_server_reports_cannot_drive_the_terminal_or_the_table(run, pool, add):
    add()
    pool.set_health("localhost:5001", Health.DOWN, "[red]\x1b[2J\n[/]", "test")
    outcome = run("list")

    assert len(outcome.lines) == 2
    assert "[red]\ufffd[2J\ufffd[/]" in outcome.lines[1]


def test_ages_are_by_the_stores_clock_whatever_the_one_here_says(run, add, monkeypatch):
    add()
    here = time.time()
    monkeypatch.setattr(time, "time", lambda: here + 3600)

    assert cells(run("list").lines[1])[3] in ("now", "1s ago")


def test_empty_pool_says_what_to_do(run):
    outcome = run("list")

    assert (outcome.status, cells(outcome.out)) == (0, HEADINGS)
    assert "`lb-admin add URL`" in outcome.err
    assert 'no worker is in the pool "default"' in outcome.err


def test_json_of_a_server(run, pool, add):
    add()
    pool.record_check("localhost:5001", Check(False, False, "connection refused", 0.5))
    [server] = run("list", "--json").json

    assert isinstance(server.pop("since"), float)
    assert isinstance(server["lastCheck"].pop("at"), float)
    assert isinstance(server.pop("unansweredSince"), float)
    assert server == {
        "id": "localhost:5001",
        "url": "http://localhost:5001",
        "weight": 1,
        "admin": "ready",
        "health": "up",
        "eligible": True,
        "reason": "",
        "source": "admin",
        "connections": 0,
        "failures": 0,
        "lastCheck": {
            "passed": False,
            "answered": False,
            "detail": "connection refused",
            "durationSeconds": 0.5,
        },
    }


def test_json_of_an_unchecked_server_has_nulls(run, add):
    add()
    [server] = run("list", "--json").json

    assert (server["lastCheck"], server["unansweredSince"]) == (None, None)


def test_removed_servers(run, pool, add, connection, keys):
    add(weight=3)
    pool.remove("localhost:5001", "test")
    connection.hset(keys.removed_server("localhost:5001"), "reason", "unanswered for 60 s")
    headings, line = run("list", "--removed").lines

    assert cells(headings) == ["SERVER", "WHY", "SINCE", "WEIGHT", "SOURCE"]
    assert cells(line) == ["localhost:5001", "unanswered for 60 s", "now", "3", "admin"]


def test_json_of_removed_servers(run, pool, add):
    add()
    pool.remove("localhost:5001", "test")
    [server] = run("list", "--removed", "--json").json

    assert isinstance(server.pop("at"), float)
    assert server == {
        "id": "localhost:5001",
        "url": "http://localhost:5001",
        "weight": 1,
        "source": "admin",
        "reason": "",
        "returns": False,
    }


def test_a_server_that_comes_back_by_itself_says_so(run, pool, add, connection, keys):
    for port in (5001, 5002):
        add(f"http://localhost:{port}")
    pool.record_check("localhost:5001", UNANSWERED)
    pool.set_health("localhost:5001", Health.DOWN, "check: connection refused", "test")
    connection.hset(keys.unanswered, "localhost:5001", "1.5")
    assert pool.remove_unanswered("localhost:5001", 60, "test")

    [server] = run("list", "--removed", "--json").json
    assert server["returns"] is True
    assert "unanswered for 60 s, comes back when it answers" in run("list", "--removed").out
    run("remove", "localhost:5001")
    assert "comes back" not in run("list", "--removed").out


def test_a_damaged_pool_is_told(run, pool, add, connection, keys):
    add()
    add("http://localhost:5002")
    connection.hset(keys.weights, "localhost:5001", "\x1b[2Jheavy")
    outcome = run("list")

    assert [cells(line)[0] for line in outcome.lines[1:]] == ["localhost:5002"]
    assert "damaged (localhost:5001: no weight)" in outcome.err
    assert run("drain", "localhost:5002").status == 0
    assert "damaged" not in run("list").err
