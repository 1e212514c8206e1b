import pytest

from lb.health.dead_workers import DeadWorkers
from lb.model import WorkerId
from tests.store.acts import Worker, spec

W1, W2 = WorkerId("w1"), WorkerId("w2")


class Look:
    """Dead workers are looked for a second later, each time."""

    def __init__(self, fleet):
        self.now = 0.0
        self._dead_workers = DeadWorkers(fleet, "health-checker", clock=lambda: self.now)

    def __call__(self, seconds=1.0):
        self.now += seconds
        self._dead_workers.reap()


@pytest.fixture
def look(fleet, pool):
    pool.reconcile([spec("a:1")], "round-robin", "test")
    return Look(fleet)


def silent(connection, keys, worker, seconds=10):
    connection.zincrby(keys.workers, -seconds, worker)


def test_connections_of_workers_that_all_died_are_taken_back(look, fleet, pool, connection, keys):
    for worker in (W1, W2):
        Worker(connection, keys, worker).lease(picks=2)
        silent(connection, keys, worker)
    look()
    look()
    assert fleet.workers() == []
    assert [status.connections for status in pool.list()] == [0]
    assert pool.events()[-1].by == "health-checker"


def test_a_worker_that_was_heard_of_between_two_looks_lives(look, fleet, connection, keys):
    Worker(connection, keys, W1)
    silent(connection, keys, W1)
    look()
    fleet.heartbeat(W1, 1, 60)
    look()
    assert [worker.id for worker in fleet.workers()] == [W1]


def test_silence_must_last(look, fleet, connection, keys):
    """Looks that come within a second find the same heartbeat, which proves nothing."""
    Worker(connection, keys, W1)
    look()
    look()
    assert [worker.id for worker in fleet.workers()] == [W1]


def test_it_looks_once_a_second(look, fleet, connection, keys):
    look()
    Worker(connection, keys, W1)
    silent(connection, keys, W1)
    for _ in range(9):
        look(0.1)
    assert [worker.id for worker in fleet.workers()] == [W1]
    look(0.2)
    look()
    assert fleet.workers() == []
