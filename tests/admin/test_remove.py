from __future__ import annotations

import pytest

from lb import config


@pytest.mark.parametrize("name", ["localhost:5001", "http://localhost:5001", "http://LOCALHOST:5001/"])
def test_server_may_be_named_by_id_or_url(run, pool, add, name):
    add()
    outcome = run("remove", name)

    assert (outcome.status, outcome.out) == (0, "localhost:5001 removed\n")
    assert pool.list() == []
    assert pool.removed()[0].id == "localhost:5001"


def test_unknown_server_is_refused_and_near_ones_are_named(run, add):
    add()
    outcome = run("remove", "localhost:5011")

    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("lb-admin: error: localhost:5011 is not in the pool")
    assert "localhost:5001" in outcome.err


def test_one_unknown_server_does_not_stop_the_others(run, pool, add):
    add()
    outcome = run("remove", "localhost:5011", "localhost:5001")

    assert (outcome.status, outcome.out) == (1, "localhost:5001 removed\n")
    assert pool.list() == []


def test_what_is_no_server_is_wrong_usage(run):
    assert run("remove", "not a server").status == 2


def test_json_lists_what_was_removed(run, add):
    add()
    outcome = run("remove", "localhost:5011", "localhost:5001", "--json")

    assert (outcome.status, outcome.json) == (1, {"removed": ["localhost:5001"]})


def test_all_are_removed_though_nobody_reads_it(add, pool, start):
    for port in (5001, 5002, 5003):
        add(f"http://localhost:{port}")
    for options, status in (([], 0), (["--json", "localhost:5009"], 1)):
        names = ["localhost:5001", "localhost:5002"] if not options else ["localhost:5003"]
        process = start("remove", *options, *names)
        process.stdout.close()
        assert process.wait(20) == status
    assert pool.list() == []


def test_a_server_of_the_config_is_said_to_come_back_with_what_keeps_it_out(run, pool, add):
    pool.reconcile(
        [config.parse_server_url(f"http://localhost:{port}") for port in (5001, 5002)], "random", ""
    )
    add("http://localhost:5003")
    outcome = run("remove", "localhost:5001", "localhost:5003")

    assert (outcome.status, outcome.out) == (0, "localhost:5001 removed\nlocalhost:5003 removed\n")
    [warning] = outcome.err.splitlines()
    assert warning.startswith("lb-admin: warning: localhost:5001: named by a configuration, so back when")
    assert '"servers"' in warning
    assert "drain" in warning
    assert run("remove", "localhost:5002", "--json").json == {"removed": ["localhost:5002"]}
