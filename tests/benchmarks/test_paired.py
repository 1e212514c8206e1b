from __future__ import annotations

import pytest

from tests.benchmarks.paired import Spread, order, ratios, spread


def test_spread_is_the_median_and_its_quartiles():
    assert spread([5, 1, 3, 2, 4]) == Spread(2, 3, 4)


def test_spread_of_a_single_value():
    assert spread([7]) == Spread(7, 7, 7)


def test_ratios_compare_within_a_round():
    """The second round was three times as slow for both, and so it changes nothing."""
    found = ratios([11, 33, 11], [10, 30, 10])
    assert found.low == pytest.approx(1.1)
    assert found.high == pytest.approx(1.1)


def test_ratios_need_a_partner_for_each():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


def test_who_was_last_is_first_in_the_next_round():
    assert [order("ABCD", number) for number in range(3)] == [list("ABCD"), list("DCBA"), list("ABCD")]
