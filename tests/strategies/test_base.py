from __future__ import annotations

from collections import Counter
from math import gcd

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lb.model import Admin, Health, Server, ServerId, Source
from lb.strategies import STRATEGIES, LocalPool, weighted_cycle

weights = st.dictionaries(
    st.integers(1, 99).map(lambda n: ServerId(f"s{n}:1")), st.integers(1, 256), min_size=1, max_size=8
)


@given(weights)
def test_every_server_has_exactly_its_share_of_the_cycle(weights: dict[ServerId, int]) -> None:
    divisor = gcd(*weights.values())
    assert Counter(weighted_cycle(weights)) == {
        server: weight // divisor for server, weight in weights.items()
    }


@given(weights)
@example(
    {ServerId("a:1"): 210, ServerId("b:1"): 73, ServerId("c:1"): 2}
)  # turns that coincide, but for rounding
def test_the_turns_of_a_server_are_spaced_evenly(weights: dict[ServerId, int]) -> None:
    """Between two of its turns, each other server has the same number of turns, give or take one."""
    cycle = weighted_cycle(weights)
    for server in weights:
        turns = [position for position, other in enumerate(cycle) if other == server]
        following = [*turns[1:], turns[0] + len(cycle)]
        distances = [after - turn for turn, after in zip(turns, following, strict=True)]
        assert max(distances) - min(distances) <= max(len(weights) - 1, 0)


@given(st.lists(st.integers(1, 99), min_size=1, unique=True), st.integers(1, 256))
def test_with_equal_weights_the_cycle_is_the_pools_order(ports: list[int], weight: int) -> None:
    servers = [ServerId(f"s:{port}") for port in ports]
    assert weighted_cycle(dict.fromkeys(servers, weight)) == servers


def test_a_heavy_server_gets_no_burst() -> None:
    a, b, c = (ServerId(name) for name in "abc")
    assert "".join(weighted_cycle({a: 5, b: 1, c: 1})) == "aabaaca"
    assert "".join(weighted_cycle({a: 2, b: 1, c: 1})) == "abac"
    assert weighted_cycle({}) == []


def server(name: str, admin: Admin = Admin.READY, health: Health = Health.UP, weight: int = 1) -> Server:
    return Server(ServerId(name), f"http://{name}", weight, admin, health, Source.CONFIG, "", 0.0)


def test_a_local_pool_holds_the_eligible_servers_in_their_order() -> None:
    pool = LocalPool.of(
        [
            server("c:1"),
            server("b:1", admin=Admin.DRAIN),
            server("m:1", admin=Admin.MAINT),
            server("d:1", health=Health.DOWN),
            server("a:1", weight=2),
        ]
    )
    assert list(pool.weights.items()) == [("c:1", 1), ("a:1", 2)]
    assert Counter(pool.cycle) == {"c:1": 1, "a:1": 2}


@pytest.mark.parametrize("fail_open", [True, False])
def test_if_none_is_up_it_holds_all_that_are_ready_unless_it_may_not(fail_open: bool) -> None:
    servers = [
        server("c:1", health=Health.DOWN),
        server("b:1", admin=Admin.DRAIN),
        server("m:1", admin=Admin.MAINT, health=Health.DOWN),
        server("a:1", health=Health.DOWN, weight=2),
    ]
    weights = LocalPool.of(servers, fail_open=fail_open).weights
    assert [*weights.items()] == ([("c:1", 1), ("a:1", 2)] if fail_open else [])


def test_drawing_never_gets_stuck() -> None:
    pool = LocalPool.of([server("a:1")])
    assert len({pool.draw() for _ in range(1000)}) == 1000
    assert pool.draw() in range(1, 2**31 - 1)


def test_strategies_are_registered_by_the_names_that_the_config_uses() -> None:
    assert {"round-robin", "random", "least-connections"} <= set(STRATEGIES)
