from __future__ import annotations

from lb.model import ServerId
from lb.strategies import LocalPool, weighted_cycle
from lb.strategies.round_robin import pick

A, B, C = (ServerId(name) for name in "abc")


def local(**weights: int) -> LocalPool:
    shares = {ServerId(name): weight for name, weight in weights.items()}
    return LocalPool(cycle=weighted_cycle(shares), weights=shares)


def test_each_server_has_its_turn() -> None:
    pool = local(a=1, b=1, c=1)
    assert [pick(pool, ()) for _ in range(7)] == [A, B, C, A, B, C, A]


def test_an_excluded_server_loses_its_turn_to_the_next() -> None:
    pool = local(a=1, b=1, c=1)
    assert pick(pool, {A}) == B
    assert pick(pool, ()) == C


def test_when_all_are_excluded_the_cursor_goes_around_once() -> None:
    pool = local(a=1, b=1)
    assert pick(pool, {A, B}) is None
    assert pool.cursor == 2
    assert pick(local(), ()) is None
