from __future__ import annotations

from lb.model import WorkerId, WorkerStatus
from tests.benchmarks.examples import load
from tests.benchmarks.outage import Found, ends_of, misses, table
from tests.benchmarks.steady import Steady
from tests.integration.servers import servers
from tests.support import eventually


def found(
    steady: Steady | None = None, back: float | None = 0.1, counts: bool = True, **runs: object
) -> Found:
    """An outage in which nothing went wrong but what is named."""
    steady = steady or Steady("http://127.0.0.1:1", "/", clients=0)
    return Found({"before": load(1000), "stopped": load(1500), **runs}, steady, back, counts)


def worker(until: float | None) -> WorkerStatus:
    return WorkerStatus(WorkerId("w"), "host", 1, 0.0, 0.0, 1, 0, degraded_since=1.0, degraded_until=until)


def test_an_outage_that_clients_do_not_notice_misses_nothing():
    assert misses(found()) == []


def test_errors_and_slow_requests_are_named_by_their_run():
    assert misses(found(after=load(read=3, worst_seconds=0.3))) == [
        "3 read errors, after",
        "a request took 0.300 s, after (bar: 0.25 s)",
    ]


def test_workers_and_counts_must_come_back():
    assert misses(found(back=None, counts=False)) == [
        "not every worker told within 20 s that it asks the store again",
        "requests are counted in the store when there are none",
    ]


def test_the_table_compares_with_before():
    rows = list(table(found(), connections=64))[2:]
    assert rows[1] == "| stopped | 1,500 | 150% | 1.00 ms | 2.00 ms | 20.00 ms | 0 |"


def test_workers_are_back_when_all_have_told_of_this_outage():
    assert ends_of([worker(101.0), worker(101.5)], went_on=100.0) == [101.0, 101.5]
    assert ends_of([worker(101.0), worker(99.0)], went_on=100.0) is None
    assert ends_of([worker(101.0), worker(None)], went_on=100.0) is None
    assert ends_of([worker(99.9995), worker(100.0)], went_on=100.0) == [99.9995, 100.0]


def test_steady_clients_note_answers_and_errors():
    with servers(1) as [server], Steady(server.url, "/", clients=2) as steady:
        eventually(lambda: steady.requests >= 10)
    assert steady.errors == []
    assert 0 < steady.worst_seconds < 10


def test_steady_clients_go_on_after_an_error():
    with Steady("http://127.0.0.1:1", "/", clients=2) as steady:
        eventually(lambda: steady.requests >= 4)
    assert len(steady.errors) == steady.requests
    assert misses(found(steady))[0].startswith("a steady client: ConnectionRefusedError")
