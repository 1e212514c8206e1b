from __future__ import annotations

import pytest

from lb.metrics import layout
from lb.metrics.meters import Meters, lone
from lb.metrics.totals import OTHER, OWN, gauges_of, totals_of
from lb.model import ServerId

ONE, TWO = ServerId("localhost:5001"), ServerId("unix:/run/two.sock")


@pytest.fixture
def meters() -> Meters:
    return lone("web1")


def test_an_answer_is_counted_by_server_status_class_and_latency(meters: Meters):
    meters.answered(ONE, 200, 0.003)
    meters.answered(ONE, 204, 0.005)  # a bound belongs to its bucket
    meters.answered(ONE, 503, 61.0)
    meters.answered(TWO, 101, 0.0)
    meters.answered(ServerId(""), 404, 0.0001)
    meters.answered(ONE, 999, 0.25)
    assert totals_of(meters.board) == {
        ONE: {"2xx/0.005": 2, "5xx/+Inf": 1, "9xx/0.25": 1, "seconds": pytest.approx(61.258)},
        TWO: {"1xx/0.0005": 1},
        OWN: {"4xx/0.0005": 1, "seconds": 0.0001},
    }


def test_what_else_happens_to_a_server(meters: Meters):
    meters.retried(ONE)
    for _ in range(2):
        meters.cut(ONE)
    for _ in range(3):
        meters.client_gone(ONE)
    meters.ejected(ONE)
    meters.client_gone(ServerId(""))
    counted = {"retries": 1, "cut": 2, "gone": 3, "ejections": 1}
    assert totals_of(meters.board) == {ONE: counted, OWN: {"gone": 1}}


def test_clients_and_the_lease_line(meters: Meters):
    meters.accepted()
    meters.clients += 2
    meters.max_clients = 9
    meters.closed_idle()
    for _ in range(2):
        meters.refused()
    meters.batch(3, 0.0002)
    meters.batch(2000, 7.0)
    assert totals_of(meters.board)["@web1"] == {
        "accepted": 1,
        "picks": 2003,
        "closed_idle": 1,
        "refused": 2,
        "trips/0.00025": 1,
        "trips/+Inf": 1,
        "batches/4": 1,
        "batches/+Inf": 1,
        "trip_seconds": pytest.approx(7.0002),
    }
    assert gauges_of(meters.board) == {"workers": 1, "degraded": 0, "clients": 2, "max_clients": 9}


def test_the_time_without_the_store(meters: Meters, monkeypatch: pytest.MonkeyPatch):
    for now, degraded, counted in (
        (100.0, False, 0),
        (101.0, True, 0),
        (103.0, True, 2.0),
        (104.5, False, 3.5),
        (110.0, False, 3.5),
    ):
        monkeypatch.setattr("lb.metrics.meters.monotonic", lambda now=now: now)
        meters.degraded(degraded)
        assert totals_of(meters.board).get("@web1", {}).get("degraded_seconds", 0) == counted
        assert gauges_of(meters.board)["degraded"] == degraded


def test_the_heir_of_a_slot_goes_on_counting_but_has_no_clients_yet(meters: Meters):
    meters.answered(ONE, 200, 0.3)
    meters.clients = 7
    heir = Meters(meters.board, meters.slot)
    heir.answered(ONE, 200, 0.3)
    heir.answered(TWO, 200, 0.3)
    assert {name: row["2xx/0.5"] for name, row in totals_of(heir.board).items()} == {ONE: 2, TWO: 1}
    assert heir.clients == 0


def test_servers_beyond_the_last_row_are_counted_together(meters: Meters):
    rows = layout.ROWS - layout.FIRST_SERVER_ROW
    for port in range(rows + 2):
        meters.answered(ServerId(f"localhost:{port}"), 200, 0.001)
    meters.answered(ServerId("x" * 300 + ":80"), 200, 0.001)
    meters.answered(ONE, 200, 0.001)
    totals = totals_of(Meters(meters.board, meters.slot).board)
    assert len(totals) == rows + 1
    assert totals[OTHER]["2xx/0.001"] == 4
