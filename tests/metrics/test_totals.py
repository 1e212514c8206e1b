from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from lb.metrics import scoreboard, totals
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard
from lb.model import ServerId

ONE = ServerId("localhost:5001")
CELLS = st.sampled_from(["2xx/0.005", "5xx/+Inf", "seconds", "retries"])
NUMBERS = st.one_of(st.integers(0, 2**53), st.floats(0, 1e15, allow_nan=False))


def test_a_host_is_the_sum_of_its_slots_living_or_dead():
    fd = scoreboard.create("web1")
    board = Scoreboard(fd)
    board.grant(2)
    for slot in (0, 2):
        meters = Meters(board, slot)
        meters.answered(ONE, 200, 0.25)
        meters.accepted()
        meters.clients += 1
    board.vacate(2)
    assert totals.totals_of(board) == {
        "@web1": {"accepted": 2},
        ONE: {"2xx/0.25": 2, "seconds": 0.5},
    }
    assert totals.gauges_of(board) == {"workers": 1, "degraded": 0, "clients": 1, "max_clients": 0}
    os.close(fd)


def test_totals_add_up_and_can_be_taken_off():
    some: totals.Totals = {ONE: {"retries": 1, "cut": 2}}
    totals.add(some, {ONE: {"cut": 3, "gone": 1}, "-": {"gone": 4}})
    assert some == {ONE: {"retries": 1, "cut": 5, "gone": 1}, "-": {"gone": 4}}
    totals.add(some, {ONE: {"cut": 5}}, sign=-1)
    assert some[ONE]["cut"] == 0


@given(st.dictionaries(CELLS, NUMBERS))
def test_what_was_written_down_reads_the_same(counts: totals.Counts):
    assert totals.counts_of(totals.text_of(counts)) == counts
