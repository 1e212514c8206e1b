from __future__ import annotations

import json
import signal

import pytest

from lb.model import Admin, Health
from tests.support import eventually


def test_events_oldest_first(run, add, pool):
    add("http://localhost:5001")
    pool.set_admin("localhost:5001", Admin.DRAIN, "test")
    first, second = run("events").lines

    assert first.split()[2:] == ["added", "localhost:5001", "test", "http://localhost:5001"]
    assert second.split()[2:] == ["drain", "localhost:5001", "test", "was", "ready"]


def test_count_takes_the_newest(run, add, pool):
    for port in (5001, 5002, 5003):
        add(f"http://localhost:{port}")

    assert [line.split()[3] for line in run("events", "--count", "2").lines] == [
        "localhost:5002",
        "localhost:5003",
    ]
    assert run("events", "--count", "0").out == ""


def test_event_of_the_whole_pool_has_no_server(run, pool):
    pool.set_strategy("random", "test")

    assert run("events").lines[0].split()[2:5] == ["strategy", "-", "test"]


def test_on_a_narrow_terminal_who_and_why_stand_below(monkeypatch, run, add, pool):
    add("http://localhost:5001")
    add("http://localhost:5002")
    pool.set_health("localhost:5001", Health.DOWN, "connection refused", "health-checker")
    monkeypatch.setenv("FORCE_COLOR", "1")

    *_, what, why = run("events", COLUMNS="60").lines
    assert what[19:] == "  down  localhost:5001"
    assert why == "    health-checker  connection refused"
    assert len(run("events", COLUMNS="200").lines) == 3


def test_json_is_an_array(run, add):
    add()
    [event] = run("events", "--json").json

    assert isinstance(event.pop("at"), float)
    assert event.pop("id")
    assert event == {
        "kind": "added",
        "server": "localhost:5001",
        "by": "test",
        "detail": "http://localhost:5001",
    }


def test_follow_goes_on_until_it_is_interrupted(add, start):
    add("http://localhost:5001")
    process = start("events", "--follow", "--json")
    assert json.loads(process.stdout.readline())["server"] == "localhost:5001"
    add("http://localhost:5002")
    assert json.loads(process.stdout.readline())["server"] == "localhost:5002"
    process.send_signal(signal.SIGINT)

    assert process.wait(10) == 0


def test_follow_misses_nothing_of_a_store_without_events(add, start):
    process = start("events", "--follow")
    add("http://localhost:5001")

    assert process.stdout.readline().split()[3] == "localhost:5001"


@pytest.mark.parametrize("arguments", [["events", "--follow"], ["events", "--follow", "--json"], ["events"]])
def test_a_reader_that_has_had_enough_ends_it_well(add, pool, start, arguments):
    add("http://localhost:5001")
    process = start(*arguments)
    process.stdout.close()

    def ended():
        pool.set_weight("localhost:5001", 2, "test")  # the next line tells it
        pool.set_weight("localhost:5001", 1, "test")
        return process.poll() is not None

    eventually(ended)
    assert (process.returncode, process.stderr.read()) == (0, "")
