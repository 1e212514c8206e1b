"""`undrain` and `maint`, and what they share with `drain`."""

from __future__ import annotations

import pytest

from lb.model import Admin, Health


def test_undrained_server_is_eligible_again(run, pool, add):
    add()
    pool.set_admin("localhost:5001", Admin.DRAIN, "test")
    outcome = run("undrain", "localhost:5001")

    assert (outcome.status, outcome.out) == (0, "localhost:5001 ready for requests\n")
    assert pool.list()[0].server.eligible


def test_undrain_tells_that_the_server_is_down(run, pool, add):
    add()
    pool.set_health("localhost:5001", Health.DOWN, "connection refused", "test")

    assert "but it is down: connection refused" in run("undrain", "localhost:5001").out


def test_server_in_maintenance(run, pool, add):
    add()
    outcome = run("maint", "localhost:5001")

    assert outcome.status == 0
    assert outcome.out.startswith("localhost:5001 in maintenance")
    assert Admin.MAINT is pool.list()[0].server.admin


@pytest.mark.parametrize("words", [["drain"], ["maint"], ["remove"]])
def test_the_last_eligible_server_goes_with_a_warning(run, pool, add, words):
    for port in (5001, 5002, 5003):
        add(f"http://localhost:{port}")
    pool.set_admin("localhost:5003", Admin.DRAIN, "test")
    first, last = run(*words, "localhost:5001"), run(*words, "localhost:5002")

    assert (first.status, first.err) == (0, "")
    assert (last.status, last.err) == (0, "lb-admin: warning: no eligible server is left: requests get 503\n")


@pytest.mark.parametrize("words", [["drain"], ["maint"], ["remove"]])
def test_if_those_that_are_left_are_down_a_warning_says_that_they_get_the_requests(run, pool, add, words):
    for port in (5001, 5002):
        add(f"http://localhost:{port}")
    pool.set_health("localhost:5002", Health.DOWN, "connection refused", "test")
    done = run(*words, "localhost:5001")

    assert (done.status, done.err) == (
        0,
        "lb-admin: warning: no server that is left is up: requests go to all that are ready\n",
    )


def test_the_last_server_is_removed_with_a_warning(run, add):
    add()

    assert "no eligible server is left" in run("remove", "localhost:5001").err


def test_no_warning_where_nothing_was_done(run, pool, add):
    add()
    run("drain", "localhost:5001")

    assert "warning" not in run("drain", "localhost:5002").err
    assert "warning" not in run("undrain", "localhost:5001").err


def test_several_servers_at_once(run, pool, add):
    add()
    add("http://localhost:5002")
    run("maint", "localhost:5001", "localhost:5002")

    assert [status.server.admin for status in pool.list()] == [Admin.MAINT] * 2


def test_unknown_server_is_refused(run):
    assert [run(command, "localhost:5001").status for command in ("undrain", "maint")] == [1, 1]


def test_json_is_the_servers(run, add):
    add()
    seen = [run(command, "localhost:5001", "--json").json[0]["admin"] for command in ("maint", "undrain")]

    assert seen == ["maint", "ready"]
