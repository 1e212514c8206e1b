from __future__ import annotations

from collections import Counter

from lb.model import ServerId
from lb.strategies import LocalPool, weighted_cycle
from lb.strategies.random import pick

A, B = ServerId("a"), ServerId("b")


def local(seed: int = 1, **weights: int) -> LocalPool:
    shares = {ServerId(name): weight for name, weight in weights.items()}
    return LocalPool(cycle=weighted_cycle(shares), weights=shares, seed=seed)


def test_picks_are_in_proportion_to_the_weights() -> None:
    pool = local(a=3, b=1)
    picks = Counter(pick(pool, ()) for _ in range(4000))
    assert 2850 < picks[A] < 3150


def test_the_seed_decides() -> None:
    def picks(seed: int) -> list[ServerId | None]:
        pool = local(seed, a=1, b=1)
        return [pick(pool, ()) for _ in range(20)]

    assert picks(7) == picks(7)
    assert picks(7) != picks(8)


def test_an_excluded_server_is_never_picked() -> None:
    pool = local(a=9, b=1)
    assert {pick(pool, {A}) for _ in range(50)} == {B}
    assert pick(pool, {A, B}) is None
    assert pick(local(), ()) is None
