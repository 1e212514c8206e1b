"""The checks of removed servers, on a real store, with checks and a clock that the test decides."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lb.config import Config
from lb.errors import StoreUnavailableError
from lb.health.returns import Returns
from lb.model import Check, Health, ServerId
from lb.store.keys import Keys
from tests.store.acts import UNANSWERED, spec

PASS = Check(True, True, "200 OK", 0.001)
A, B, C, D = (ServerId(f"127.0.0.1:500{number}") for number in range(1, 5))
INTERVAL = 2.0


class Rounds:
    """Returns whose checks do as `outcomes` says; the clock moves when told, and the lead is the test's."""

    def __init__(self, pool, **settings):
        self.now = 1000.0
        self.outcomes = {}
        self.asked = []
        self.pending = None
        self.term = pool.lead("checker-1", 30)
        self.returns = Returns(
            pool,
            self._check,
            Config(**settings),
            term=lambda: self.term,
            spawn=self._spawn,
            clock=lambda: self.now,
            uniform=lambda _low, _high: 1.0,
        )

    def run(self, seconds, step=0.1):
        """Let time pass in steps; return when servers were asked, in seconds from the first."""
        self.asked = []
        begin = self.now
        while self.now < begin + seconds:
            self.returns.tick()
            self.now += step
        return [round(at - begin, 1) for at, _ in self.asked]

    def _check(self, server, _settings):
        self.asked.append((self.now, server))
        return self.outcomes.get(server.id, UNANSWERED)

    def _spawn(self, act, watch):
        if self.pending is None:
            act(watch)
        else:
            self.pending.append((act, watch))


@pytest.fixture
def four(pool):
    pool.reconcile([spec(server) for server in (A, B, C, D)], "round-robin", "config")
    return pool


@pytest.fixture
def rounds(four):
    return Rounds(four)


@pytest.fixture
def remove(four, connection, keys: Keys):
    """Remove a server for its silence."""

    def remove(server):
        four.record_check(server, UNANSWERED)
        four.set_health(server, Health.DOWN, "connection refused", "checker")
        connection.hset(keys.unanswered, server, "1.5")
        assert four.remove_unanswered(server, 60, "checker")

    return remove


def members(pool):
    return {server.id for server in pool.snapshot().servers}


def test_nobody_is_asked_while_nobody_is_awaited(rounds, four):
    four.remove(A, "lb-admin")
    assert rounds.run(60) == []


def test_a_removed_server_is_asked_ever_less_often_up_to_every_ten_intervals(rounds, remove):
    remove(A)
    times = rounds.run(200)
    assert times[0] <= INTERVAL + 0.2
    gaps = [round(later - earlier) for earlier, later in pairwise(times)]
    assert gaps[:5] == [4, 8, 16, 20, 20]
    assert set(gaps[3:]) == {20}
    assert rounds.asked[0][1].url == f"http://{A}"


@pytest.mark.parametrize(("interval", "longest"), [("100ms", 1), ("1s", 10), ("10s", 30), ("1m", 60)])
def test_never_less_often_than_every_half_minute_nor_more_often_than_a_member(
    four, remove, interval, longest
):
    rounds = Rounds(four, healthCheckInterval=interval)
    remove(A)
    times = rounds.run(60 + 20 * longest, step=0.05)
    assert times[-1] - times[-2] == pytest.approx(longest, abs=0.2)


def test_it_is_back_after_as_many_passed_checks_as_bring_a_server_up(rounds, four, remove, caplog):
    remove(A)
    rounds.run(200)
    rounds.outcomes[A] = PASS
    times = rounds.run(30)
    assert len(times) == 2
    assert times[1] - times[0] == pytest.approx(INTERVAL, abs=0.2)
    assert A in members(four)
    assert caplog.messages == [f"server {A} is back in the pool: it passes its checks again"]
    assert rounds.run(60) == []


def test_passes_must_follow_each_other(four, remove):
    rounds = Rounds(four, healthCheck={"rise": 3})
    remove(A)
    for _ in range(5):
        rounds.outcomes[A] = PASS
        while rounds.run(0.1) == []:
            pass
        while rounds.run(0.1) == []:
            pass
        del rounds.outcomes[A]
        while rounds.run(0.1) == []:
            pass
    assert A not in members(four)


def test_a_server_that_was_dark_for_threshold_and_ten_seconds_is_back_within_fifteen(rounds, four, remove):
    """With the settings that nobody has changed, wherever in the rhythm it returns."""
    for late in range(12):
        remove(A)
        rounds.run(10 + late / 4)
        rounds.outcomes[A] = PASS
        returned = rounds.now
        while A not in members(four):
            rounds.run(0.1)
        assert rounds.now - returned < 15
        rounds.outcomes.clear()


def test_the_time_that_a_check_takes_is_part_of_the_time_between_two(rounds, remove):
    """Else a host that swallows packets would be asked ever later by the time-out of each check."""
    remove(A)
    rounds.pending = []
    started = []
    for _ in range(4):
        while not rounds.pending:
            rounds.run(0.1)
        started.append(rounds.now)
        rounds.now += 5.0
        [(act, watch)] = rounds.pending
        act(watch)
        rounds.pending = []
    assert [round(later - earlier) for earlier, later in pairwise(started)] == [5, 8, 16]


def test_several_come_back_each_in_its_time(rounds, four, remove):
    remove(A)
    remove(B)
    rounds.outcomes[B] = PASS
    rounds.run(10)
    assert members(four) == {B, C, D}


def test_one_that_an_operator_removes_meanwhile_stays_away(rounds, four, remove):
    remove(A)
    rounds.pending = []
    rounds.outcomes[A] = PASS
    rounds.run(3)
    four.remove(A, "lb-admin")
    rounds.run(3)
    for act, watch in rounds.pending:
        act(watch)
    rounds.pending = None
    assert rounds.run(60) == []
    assert A not in members(four)


def test_a_server_is_asked_again_only_after_it_answered(rounds, remove):
    remove(A)
    rounds.pending = []
    rounds.run(60)
    assert len(rounds.pending) == 1


def test_only_the_leader_asks_and_brings_back(rounds, four, remove):
    remove(A)
    term, rounds.term = rounds.term, None
    assert rounds.run(60) == []
    rounds.term = term
    rounds.pending = []
    rounds.outcomes[A] = PASS
    rounds.run(5)
    rounds.term = None
    [(act, watch)] = rounds.pending
    act(watch)
    assert A not in members(four)


def test_a_store_that_is_away_for_a_while_costs_no_more_than_a_check(rounds, four, remove, monkeypatch):
    def away(*_):
        raise StoreUnavailableError("away")

    remove(A)
    rounds.outcomes[A] = PASS
    monkeypatch.setattr(four, "bring_back", away)
    rounds.run(10)
    assert A not in members(four)
    monkeypatch.undo()
    rounds.run(INTERVAL + 0.2)
    assert A in members(four)
