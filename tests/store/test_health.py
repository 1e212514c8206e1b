"""The acts of the health-checker and of failing traffic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import redis

from lb.errors import StoreError
from lb.model import Admin, Health, ServerId, ServerStatus
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.store.acts import ANSWERED_BADLY, PASSED, UNANSWERED, Worker, spec
from tests.support import eventually

A, B, C, D = (ServerId(f"{name}:1") for name in "abcd")
Age = Callable[[ServerId, float], None]


@pytest.fixture
def four(pool: BackendPool) -> BackendPool:
    pool.reconcile([spec(A), spec(B), spec(C), spec(D)], "round-robin", "test")
    return pool


@pytest.fixture
def age(four: BackendPool, connection: redis.Redis, keys: Keys) -> Age:
    """Take a server down that has left its checks unanswered for so many seconds."""

    def age(server: ServerId, seconds: float) -> None:
        four.record_check(server, UNANSWERED)
        four.set_health(server, Health.DOWN, "connection refused", "checker")
        since = float(connection.hget(keys.unanswered, server) or 0)
        connection.hset(keys.unanswered, server, str(since - seconds))

    return age


def status(pool: BackendPool, server: ServerId) -> ServerStatus:
    return next(status for status in pool.list() if status.server.id == server)


# --- checks


@pytest.mark.parametrize("check", [PASSED, ANSWERED_BADLY, UNANSWERED])
def test_a_check_is_kept_as_it_was(four: BackendPool, check) -> None:
    before = four.version()
    four.record_check(A, check)
    assert status(four, A).last_check == check
    assert status(four, A).last_check_at
    assert status(four, A).server.health is Health.UP
    assert four.version() == before


def test_the_settings_of_the_last_check_are_kept(four: BackendPool) -> None:
    four.record_check(A, PASSED, settings="one")
    four.record_check(B, PASSED, settings="one")
    four.record_check(A, PASSED, settings="other")
    assert four.check_settings() == {A: "other", B: "one"}
    four.remove(A, "test")
    assert four.check_settings() == {B: "one"}


def test_silence_counts_by_one_and_the_same_settings(four: BackendPool, connection, keys) -> None:
    four.record_check(A, UNANSWERED, settings="one")
    connection.hset(keys.unanswered, A, 1.0)
    four.record_check(A, UNANSWERED, settings="one")
    assert status(four, A).unanswered_since == 1.0
    four.record_check(A, UNANSWERED, settings="other")
    assert status(four, A).unanswered_since > 1.0


def test_a_reason_of_checks_is_renewed_and_nothing_else(four: BackendPool) -> None:
    four.set_health(A, Health.DOWN, "check: status 404", "checker")
    four.mark_failed(B, 5, "worker")
    before = status(four, A).server
    version = four.version()
    assert not four.set_health(A, Health.DOWN, "check: connection refused", "checker")
    assert status(four, A).server == dataclasses.replace(before, reason="check: connection refused")
    assert four.version() == version + 1  # the workers' snapshots say so too
    assert not four.set_health(B, Health.DOWN, "check: connection refused", "checker")
    assert status(four, B).server.reason == "failures: 5 consecutive"


def test_addresses_that_are_left_out_are_a_change_of_the_pool(four: BackendPool) -> None:
    version = four.version()
    assert four.leave_out(A, ["192.0.2.1:80", "[::2]:80"], "left out: …", "checker")
    assert not four.leave_out(A, ["192.0.2.1:80", "[::2]:80"], "again", "checker")
    assert four.left_out() == {A: {"192.0.2.1:80", "[::2]:80"}}
    assert four.leave_out(A, [], "all are used", "checker")
    assert not four.leave_out(ServerId("gone:1"), ["192.0.2.1:80"], "…", "checker")
    assert four.left_out() == {}
    assert four.version() == version + 2
    said = [(event.server, event.detail) for event in four.events() if event.kind == "addresses"]
    assert said == [(A, "left out: …"), (A, "all are used")]


def test_a_checker_that_leads_no_longer_leaves_nothing_out(four: BackendPool) -> None:
    term = four.lead("first", 60)
    four.resign("first")
    four.lead("second", 60)
    with pytest.raises(StoreError):
        four.leave_out(A, ["192.0.2.1:80"], "…", "checker", term)


def test_unanswered_since_is_the_first_of_a_row(four: BackendPool) -> None:
    four.record_check(A, UNANSWERED)
    first = status(four, A).unanswered_since
    assert first
    eventually(lambda: later_check(four, A, first), what="the clock to move on")
    assert status(four, A).unanswered_since == first
    four.record_check(A, ANSWERED_BADLY)
    assert status(four, A).unanswered_since is None


def later_check(pool: BackendPool, server: ServerId, moment: float) -> bool:
    pool.record_check(server, UNANSWERED)
    return (status(pool, server).last_check_at or 0) > moment


def test_a_check_of_a_server_that_left_is_dropped(
    four: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    four.remove(A, "test")
    four.record_check(A, UNANSWERED)
    assert not connection.exists(keys.check_results, keys.check_times, keys.check_durations, keys.unanswered)


def test_maint_starts_the_clock_of_unanswered_checks_anew(four: BackendPool, age: Age) -> None:
    """Else the first check after a long repair would find the server overdue."""
    age(A, 100)
    four.set_admin(A, Admin.MAINT, "lb-admin")
    four.set_admin(A, Admin.READY, "lb-admin")
    four.record_check(A, UNANSWERED)
    assert not four.remove_unanswered(A, 60, "checker")


# --- flips


def test_a_server_is_down_with_a_reason_and_up_without(
    four: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    Worker(connection, keys, "w1").fail(A, 4)
    assert four.set_health(A, Health.DOWN, "connection refused", "checker")
    down = status(four, A)
    assert (down.server.health, down.server.reason, down.failures) == (
        Health.DOWN,
        "connection refused",
        4,
    )
    assert not down.server.eligible

    assert four.set_health(A, Health.UP, "2 passes", "checker")
    up = status(four, A)
    assert (up.server.health, up.server.reason, up.failures) == (Health.UP, "", 0)
    assert [(event.kind, event.detail) for event in four.events()[-2:]] == [
        ("down", "connection refused"),
        ("up", "2 passes"),
    ]


def test_a_flip_to_the_same_side_or_of_a_stranger_is_none(four: BackendPool) -> None:
    before = four.version()
    assert not four.set_health(A, Health.UP, "", "checker")
    assert not four.set_health(ServerId("z:1"), Health.DOWN, "", "checker")
    assert four.version() == before


def test_no_later_pick_takes_a_server_that_is_down(
    four: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    four.set_health(B, Health.DOWN, "refused", "checker")
    assert set(Worker(connection, keys, "w1").lease(picks=9)) == {A, C, D}


# --- failures on traffic


def test_failing_servers_are_marked_down_up_to_half_of_the_pool(four: BackendPool) -> None:
    assert four.mark_failed(A, 5, "w1")
    assert (four.events()[-1].kind, four.events()[-1].by) == ("down", "w1")
    assert not four.mark_failed(A, 6, "w2")
    assert four.mark_failed(B, 5, "w1")
    assert not four.mark_failed(C, 5, "w1")
    assert status(four, A).server.reason == "failures: 5 consecutive"
    four.set_health(A, Health.UP, "2 passes", "checker")
    assert four.mark_failed(C, 5, "w1")


def test_servers_down_for_other_reasons_do_not_count(four: BackendPool) -> None:
    four.set_health(C, Health.DOWN, "connection refused", "checker")
    four.set_health(D, Health.DOWN, "connection refused", "checker")
    assert four.mark_failed(A, 5, "w1")


def test_a_single_server_is_never_taken_out_for_failures(pool: BackendPool) -> None:
    pool.reconcile([spec(A)], "random", "test")
    assert not pool.mark_failed(A, 1000, "w1")
    assert not pool.mark_failed(ServerId("z:1"), 1000, "w1")


# --- removal of the unanswered


def test_a_server_unanswered_past_the_threshold_is_removed(four: BackendPool, age: Age) -> None:
    age(A, 61)
    before = four.version()
    assert four.remove_unanswered(A, 60, "checker")
    assert four.version() == before + 1
    (record,) = four.removed()
    assert (record.id, record.reason) == (A, "unanswered for 60 s")
    event = four.events()[-1]
    assert (event.kind, event.by, event.detail) == ("removed", "checker", "unanswered for 60 s")
    assert not four.remove_unanswered(A, 60, "checker")


def test_a_server_stays_that_is_not_overdue_or_not_down(four: BackendPool, age: Age) -> None:
    age(A, 59)
    assert not four.remove_unanswered(A, 60, "checker")
    age(B, 61)
    four.set_health(B, Health.UP, "", "checker")
    assert not four.remove_unanswered(B, 60, "checker")
    age(C, 61)
    four.record_check(C, ANSWERED_BADLY)
    assert not four.remove_unanswered(C, 60, "checker")
    assert not four.remove_unanswered(D, 0, "checker")
    assert len(four.list()) == 4


def test_a_server_that_an_operator_has_drained_may_be_stopped(four: BackendPool, age: Age) -> None:
    four.set_admin(A, Admin.DRAIN, "lb-admin")
    age(A, 3600)
    assert not four.remove_unanswered(A, 60, "checker")
    four.set_admin(A, Admin.READY, "lb-admin")
    four.record_check(A, UNANSWERED)
    assert not four.remove_unanswered(A, 60, "checker"), "from now on it has its time again"
    age(A, 61)
    assert four.remove_unanswered(A, 60, "checker")


def test_at_most_half_of_the_pool_is_removed(four: BackendPool, age: Age) -> None:
    for server in (A, B, C, D):
        age(server, 61)
    assert [four.remove_unanswered(server, 60, "checker") for server in (A, B, C, D)] == [
        True,
        True,
        False,
        False,
    ]
    assert [status.server.id for status in four.list()] == [C, D]


def test_a_refusal_is_told_once_while_it_lasts(four: BackendPool, age: Age) -> None:
    def refusals() -> list[str]:
        return [event.server for event in four.events() if event.kind == "removal-refused"]

    for server in (A, B, C):
        age(server, 61)
    for _ in range(3):
        for server in (A, B, C):
            four.remove_unanswered(server, 60, "checker")
    assert refusals() == [C]
    assert "2 of 4 servers" in next(e.detail for e in four.events() if e.kind == "removal-refused")

    four.record_check(C, PASSED)
    age(C, 61)
    four.remove_unanswered(C, 60, "checker")
    assert refusals() == [C, C]


def test_restored_servers_no_longer_count_as_removed(four: BackendPool, age: Age) -> None:
    for server in (A, B, C):
        age(server, 61)
        four.remove_unanswered(server, 60, "checker")
    four.restore(A, "lb-admin")
    assert four.remove_unanswered(C, 60, "checker")


def test_removals_of_more_than_an_hour_ago_no_longer_count(
    four: BackendPool, age: Age, connection: redis.Redis, keys: Keys
) -> None:
    for server in (A, B, C):
        age(server, 61)
        four.remove_unanswered(server, 60, "checker")
    for server in (A, B):
        connection.zincrby(keys.removed_unanswered, -3601, server)
    assert four.remove_unanswered(C, 60, "checker")


def test_a_single_server_is_never_removed(pool: BackendPool) -> None:
    pool.reconcile([spec(A)], "random", "test")
    pool.record_check(A, UNANSWERED)
    pool.set_health(A, Health.DOWN, "connection refused", "checker")
    assert not pool.remove_unanswered(A, 0, "checker")


def test_what_operators_removed_does_not_count(four: BackendPool, age: Age) -> None:
    four.remove(A, "lb-admin")
    age(B, 61)
    assert four.remove_unanswered(B, 60, "checker")


# --- a health-checker that is cut off


def test_while_requests_are_answered_silence_takes_down_no_more_than_half(
    four: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    fleet.heartbeat(worker.id, 1, 3, answered=True)

    def silent(server: ServerId) -> bool:
        return four.set_health(server, Health.DOWN, "refused", "checker", silent=True)

    assert [silent(server) for server in (A, B, C, D)] == [True, True, False, False]
    assert four.set_health(C, Health.DOWN, "500", "checker")  # its own word
    assert not silent(D)
    worker.fail(D, 1)
    assert silent(D)


def test_where_nothing_is_answered_silence_takes_down_all(
    four: BackendPool, fleet: Fleet, connection: redis.Redis, keys: Keys
) -> None:
    worker = Worker(connection, keys, "w1")
    fleet.heartbeat(worker.id, 1, 0.05, answered=True)
    eventually(lambda: not connection.exists(keys.answered))
    fleet.heartbeat(worker.id, 1, 3, answered=False)
    assert all(four.set_health(s, Health.DOWN, "refused", "checker", silent=True) for s in (A, B, C, D))


# --- leadership


def test_one_health_checker_leads_until_it_stops_renewing(
    four: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    assert four.lead("one", 30)
    assert not four.lead("two", 30)
    assert four.lead("one", 0.05)
    eventually(lambda: four.lead("two", 30))
    assert not four.lead("one", 30)
    assert connection.get(keys.checker) == "two"


def test_each_lead_has_a_greater_term_also_after_the_store_lost_everything(
    four: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    first = four.lead("one", 30)
    assert first
    assert four.lead("one", 30) == first
    four.resign("one")
    second = four.lead("two", 30)
    assert second
    assert second > first
    connection.delete(keys.checker, keys.checker_term)
    eventually(lambda: (four.lead("one", 0.001) or 0) > second)


def test_a_deposed_health_checker_changes_nothing(four: BackendPool, age: Age) -> None:
    old = four.lead("one", 30)
    four.resign("one")
    assert four.lead("two", 30)
    age(B, 61)
    before = four.list()
    for act in (
        lambda: four.record_check(A, UNANSWERED, old),
        lambda: four.set_health(A, Health.DOWN, "connection refused", "checker", term=old),
        lambda: four.remove_unanswered(B, 60, "checker", old),
    ):
        with pytest.raises(StoreError, match="no longer leads"):
            act()
    assert four.list() == before


def test_a_lead_that_ran_out_is_over_though_nobody_took_it(four: BackendPool) -> None:
    term = four.lead("one", 0.03)
    four.record_check(A, PASSED, term)
    eventually(lambda: four.leader() is None)
    with pytest.raises(StoreError, match="no longer leads"):
        four.record_check(A, PASSED, term)


def test_after_a_time_without_leader_the_clocks_start_anew(four: BackendPool, age: Age) -> None:
    """Nobody looked meanwhile: a server that boots with the balancer must not be found overdue."""
    age(A, 1000)
    assert four.lead("one", 30)
    four.record_check(A, UNANSWERED)
    assert not four.remove_unanswered(A, 60, "one")

    age(A, 61)
    assert four.lead("one", 30)
    assert four.remove_unanswered(A, 60, "one")


def test_a_check_without_detail_can_be_kept(four: BackendPool) -> None:
    silent = dataclasses.replace(PASSED, detail="")
    four.record_check(A, silent)
    assert status(four, A).last_check == silent


@pytest.mark.parametrize(
    "odd", [None, "", "abc", "-5", "007", "1.5", str(2**53 - 1), str(2**53 + 1), str(2**64)], ids=repr
)
def test_a_term_that_was_lost_or_is_odd_ends_no_lead_for_good(
    four: BackendPool, connection: redis.Redis, keys: Keys, odd: str | None
) -> None:
    four.lead("one", 30)
    connection.delete(keys.checker_term)
    if odd is not None:
        connection.set(keys.checker_term, odd)
    term = four.lead("one", 30)
    assert term
    assert four.lead("one", 30) == term
    four.record_check(A, PASSED, term)
    assert status(four, A).last_check
