from __future__ import annotations

import pytest

from lb.strategies import STRATEGIES


def test_strategy_is_set_and_shown(client, pool):
    expected = {"strategy": "least-connections", "known": list(STRATEGIES)}

    assert client.put("/strategy", json={"strategy": "least-connections"}).json == expected
    assert client.get("/strategy").json == expected
    assert pool.snapshot().strategy == "least-connections"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"strategy": "fastest"}, "the strategies are round-robin, random, least-connections"),
        ({"strategy": None}, "field 'strategy': input should be a valid string"),
        ({"name": "random"}, "unknown field 'name', known are: strategy"),
    ],
)
def test_wrong_strategy_is_refused_with_the_reason(client, body, message):
    response = client.put("/strategy", json=body)

    assert response.status_code == 400
    assert message in response.json["error"]
