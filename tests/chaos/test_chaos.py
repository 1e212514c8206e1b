"""A short schedule of all that can break; `python -m tests.chaos` plays many and longer ones."""

from __future__ import annotations

import pytest

from tests.chaos import schedule
from tests.chaos.play import play

SEED, SECONDS = 11, 12.0


def test_a_seed_is_a_schedule() -> None:
    assert schedule.make(7, 60) == schedule.make(7, 60) != schedule.make(8, 60)
    assert {step.act for seed in range(20) for step in schedule.make(seed, 60)} == {*schedule.ACTS, "calm"}
    assert schedule.make(7, 60)[-1].act == schedule.CALM


@pytest.mark.alone
@pytest.mark.slow
def test_whatever_breaks_the_contract_holds() -> None:
    said: list[str] = []
    report = play(SEED, SECONDS, workers=2, hosts=2, clients=4, tell=said.append)
    assert report.violations == [], "\n".join(said)
    assert report.requests > 100
    assert report.calms
