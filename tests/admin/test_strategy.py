from __future__ import annotations

from lb.strategies import STRATEGIES


def test_strategy_is_set_and_shown(run, pool):
    assert run("strategy", "least-connections").out == "least-connections\n"
    assert pool.snapshot().strategy == "least-connections"
    assert run("strategy").out == "least-connections\n"


def test_unknown_strategy_is_wrong_usage_and_the_known_are_listed(run):
    outcome = run("strategy", "fastest")

    assert outcome.status == 2
    assert all(name in outcome.err for name in STRATEGIES)
    assert 'did you mean "round-robin"?' in run("strategy", "roundrobin").err


def test_store_without_a_pool(run):
    outcome = run("strategy")

    assert (outcome.status, outcome.out) == (0, "-\n")


def test_json_tells_the_known_ones_too(run):
    assert {"strategy": "random", "known": list(STRATEGIES)} == run("strategy", "random", "--json").json
