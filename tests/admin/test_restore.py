from __future__ import annotations


def test_restored_server_is_back_with_its_weight(run, pool, add):
    add(weight=7)
    pool.remove("localhost:5001", "test")
    outcome = run("restore", "localhost:5001")

    assert (outcome.status, outcome.out) == (0, "localhost:5001 restored, weight 7\n")
    assert [status.server.weight for status in pool.list()] == [7]


def test_server_that_was_not_removed_is_refused(run, add):
    add()
    outcome = run("restore", "localhost:5001")

    assert outcome.status == 1
    assert outcome.err.startswith("lb-admin: error: localhost:5001 ")


def test_json_is_the_restored_servers(run, pool, add):
    add()
    pool.remove("localhost:5001", "test")

    assert [server["id"] for server in run("restore", "localhost:5001", "--json").json] == ["localhost:5001"]
