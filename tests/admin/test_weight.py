from __future__ import annotations

import pytest


def test_weight_is_set(run, pool, add):
    add()
    outcome = run("weight", "localhost:5001", "9")

    assert (outcome.status, outcome.out) == (0, "localhost:5001 has weight 9\n")
    assert pool.list()[0].server.weight == 9


@pytest.mark.parametrize("weight", ["0", "257", "-1", "heavy", "1.5"])
def test_impossible_weight_is_wrong_usage(run, add, weight):
    add()

    outcome = run("weight", "localhost:5001", weight)
    assert outcome.status == 2
    if not weight.startswith("-"):
        assert "expected a whole number, 1 to 256; got" in outcome.err


def test_unknown_server_is_refused(run):
    assert run("weight", "localhost:5001", "2").status == 1


def test_json_is_the_server(run, add):
    add()

    assert run("weight", "localhost:5001", "4", "--json").json["weight"] == 4
