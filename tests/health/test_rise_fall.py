from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.health.rise_fall import observe
from lb.model import Health

UP, DOWN = Health.UP, Health.DOWN
thresholds = st.integers(1, 5)
healths = st.sampled_from(Health)


@pytest.mark.parametrize(
    ("start", "answers", "expected"),
    [
        pytest.param(UP, "--", UP, id="two failures of three are not enough"),
        pytest.param(UP, "---", DOWN, id="three in a row are"),
        pytest.param(UP, "--+--", UP, id="a pass between starts the count anew"),
        pytest.param(UP, "--+---", DOWN, id="and then it takes three again"),
        pytest.param(DOWN, "+", DOWN, id="one pass of two is not enough"),
        pytest.param(DOWN, "++", UP, id="two in a row are"),
        pytest.param(DOWN, "+-+-+-", DOWN, id="a flapping server stays down"),
        pytest.param(UP, "--+-+--+", UP, id="a flapping server that was up stays up"),
        pytest.param(UP, "---++", UP, id="down and up again"),
        pytest.param(UP, "---++--", UP, id="the count starts at zero after a flip"),
        pytest.param(UP, "", UP, id="no check changes nothing"),
    ],
)
def test_rise_two_fall_three(start, answers, expected):
    health, streak = start, 0
    for answer in answers:
        health, streak = observe(health, streak, answer == "+", rise=2, fall=3)
    assert health is expected


@given(healths, st.lists(st.booleans(), max_size=40), thresholds, thresholds)
def test_health_flips_exactly_when_enough_contrary_checks_came_in_a_row(start, answers, rise, fall):
    """The fold agrees with a definition that looks at the whole history at once."""
    health, _ = reduce(lambda state, passed: observe(*state, passed, rise, fall), answers, (start, 0))
    assert health is _by_runs(start, answers, rise, fall)


def _by_runs(start, answers, rise, fall):
    runs = []
    for passed in answers:
        if runs and runs[-1][0] == passed:
            runs[-1][1] += 1
        else:
            runs.append([passed, 1])
    long_enough = [passed for passed, length in runs if length >= (rise if passed else fall)]
    return (UP if long_enough[-1] else DOWN) if long_enough else start


@given(healths, st.lists(st.booleans(), max_size=40), thresholds, thresholds)
def test_streak_stays_below_what_a_flip_needs(start, answers, rise, fall):
    health, streak = start, 0
    for passed in answers:
        health, streak = observe(health, streak, passed, rise, fall)
        assert 0 <= streak < (fall if health is UP else rise)


@given(healths, st.integers(0, 5), thresholds, thresholds)
def test_an_agreeing_check_clears_the_streak(health, streak, rise, fall):
    assert observe(health, streak, health is UP, rise, fall) == (health, 0)
