from __future__ import annotations

from lb.model import ServerId
from lb.strategies import LocalPool
from lb.strategies.least_connections import pick

A, B, C = (ServerId(name) for name in "abc")


def local(weights: dict[ServerId, int], connections: dict[ServerId, int] | None = None) -> LocalPool:
    return LocalPool(cycle=[], weights=weights, connections=connections or {})


def test_the_least_loaded_for_its_weight_is_picked() -> None:
    assert pick(local({A: 1, B: 1}, {A: 1}), ()) == B
    assert pick(local({A: 4, B: 1}, {A: 3, B: 1}), ()) == A
    assert pick(local({A: 4, B: 1}, {A: 5, B: 1}), ()) == B


def test_ties_rotate() -> None:
    pool = local({C: 1, A: 1, B: 1})
    assert [pick(pool, ()) for _ in range(4)] == [C, B, A, C]


def test_the_cursor_moves_only_at_a_tie() -> None:
    pool = local({A: 1, B: 1}, {A: 1})
    pool.cursor = 2
    pick(pool, ())
    assert pool.cursor == 2


def test_excluded_servers_take_no_part_in_a_tie() -> None:
    pool = local({A: 1, B: 1, C: 1})
    assert [pick(pool, {A}) for _ in range(3)] == [C, B, C]
    assert pick(pool, {A, B, C}) is None
    assert pick(local({}), ()) is None
