"""`undrain` and `maint`, and what they share with `drain`."""

from __future__ import annotations

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
