"""The checker on a real store, with checks, clock and chance that the test decides."""

import logging
from dataclasses import asdict

import pytest

from lb.config import Config
from lb.errors import StoreUnavailableError
from lb.health.checker import BY, Checker
from lb.health.finding import Finding
from lb.model import Admin, Check, Health, ServerSpec, Source
from tests.store.acts import Worker

UP, DOWN = Health.UP, Health.DOWN
PASS = Check(True, True, "200 OK", 0.001)
ERROR = Check(False, True, "status 500 (expected 200-499)", 0.001)
REFUSED = Check(False, False, "connection refused", 0.001)

INTERVAL = 2.0


def finding(check, **told):
    return Finding(**asdict(check), **told)


class Rounds:
    """A checker whose checks do as `outcomes` says, on a clock that only moves when told."""

    def __init__(self, pool, *, name="checker-1", jitter=1.0, **settings):
        self.now = 1000.0
        self.outcomes = {}
        self.asked = []
        self.pending = []
        self.held = False
        self.jitter = jitter
        self.spans = []
        self.checker = Checker(
            pool,
            self._check,
            Config(**settings),
            name,
            spawn=self._spawn,
            clock=lambda: self.now,
            uniform=self._uniform,
        )

    def tick(self, seconds=0.0):
        """Let time pass, then tick; return whom it asked."""
        self.now += seconds
        self.asked = []
        self.checker.tick()
        return self.asked

    def round(self, count=1):
        for _ in range(count):
            self.tick(INTERVAL)

    def finish(self):
        """Let the held checks end."""
        pending, self.pending = self.pending, []
        for act, *arguments in pending:
            act(*arguments)

    def _check(self, server, settings):
        outcome = self.outcomes.get(server.id, PASS)
        return outcome if isinstance(outcome, Finding) else finding(outcome)

    def _spawn(self, act, server, watch):
        self.asked.append(server.id)
        if self.held:
            self.pending.append((act, server, watch))
        else:
            act(server, watch)

    def _uniform(self, low, high):
        self.spans.append((low, high))
        return self.jitter


@pytest.fixture
def rounds(pool):
    return Rounds(pool)


@pytest.fixture
def servers(pool):
    """Three servers in the pool."""
    return [add(pool, f"127.0.0.1:{port}") for port in (5001, 5002, 5003)]


def add(pool, name):
    return pool.add(ServerSpec(name, f"http://{name}"), Source.ADMIN, "test").id


def health(pool):
    return [status.server.health for status in pool.list()]


def status(pool, server):
    return next(status for status in pool.list() if status.server.id == server)


def kinds(pool, server):
    return [event.kind for event in pool.events() if event.server == server]


# --- who is asked, and when


def test_a_new_server_is_asked_at_once_and_then_each_interval(rounds, pool, servers):
    assert rounds.tick() == servers
    assert rounds.tick(0.9 * INTERVAL) == []
    assert rounds.tick(0.1 * INTERVAL) == servers


def test_checks_are_spread_by_jitter(pool, servers):
    rounds = Rounds(pool, jitter=1.1)
    rounds.tick()
    assert rounds.tick(1.05 * INTERVAL) == []
    assert rounds.tick(0.05 * INTERVAL) == servers
    assert set(rounds.spans) == {(0.9, 1.1)}


def test_a_server_that_joins_is_asked_within_a_second(rounds, pool, servers):
    rounds.tick()
    late = add(pool, "127.0.0.1:5004")
    assert rounds.tick(1.0) == [late]


def test_the_pool_is_read_no_more_often_than_each_second(rounds, pool, servers, monkeypatch):
    looks, snapshot = [], pool.snapshot
    monkeypatch.setattr(pool, "snapshot", lambda: looks.append(rounds.now) or snapshot())
    for _ in range(20):
        rounds.tick(0.25)
    assert len(looks) == 5


def test_a_server_that_left_is_not_asked_again(rounds, pool, servers):
    rounds.tick()
    pool.remove(servers[0], "test")
    assert rounds.tick(INTERVAL) == servers[1:]


def test_draining_servers_are_asked_those_in_maint_are_not(rounds, pool, servers):
    pool.set_admin(servers[0], Admin.DRAIN, "test")
    pool.set_admin(servers[1], Admin.MAINT, "test")
    assert rounds.tick() == [servers[0], servers[2]]


def test_a_server_is_asked_again_only_after_it_answered(rounds, pool, servers):
    rounds.held = True
    rounds.tick()
    assert rounds.tick(INTERVAL) == []
    rounds.finish()
    assert rounds.tick(INTERVAL) == servers


def test_ticks_come_often_enough_for_a_short_interval(pool):
    assert Rounds(pool, healthCheckInterval="200ms").checker.tick() <= 0.02
    assert Rounds(pool, healthCheckInterval="10m").checker.tick() <= 0.25


# --- what becomes of it


def test_fall_failures_in_a_row_take_a_server_down_and_rise_passes_bring_it_up(rounds, pool, servers):
    rounds.outcomes[servers[1]] = ERROR
    rounds.round(2)
    assert health(pool) == [UP, UP, UP]
    rounds.round()
    assert health(pool) == [UP, DOWN, UP]
    assert status(pool, servers[1]).server.reason == "check: status 500 (expected 200-499)"

    rounds.outcomes[servers[1]] = PASS
    rounds.round()
    assert health(pool) == [UP, DOWN, UP]
    rounds.round()
    assert health(pool) == [UP, UP, UP]
    assert kinds(pool, servers[1]) == ["added", "down", "up"]


@pytest.mark.parametrize(("outcome", "down"), [(REFUSED, 1), (ERROR, 3)])
def test_silence_takes_down_no_more_than_half_where_requests_are_answered(
    rounds, pool, servers, fleet, connection, keys, outcome, down
):
    worker = Worker(connection, keys, "w1")
    fleet.heartbeat(worker.id, 1, 3, answered=True)
    rounds.outcomes = dict.fromkeys(servers, outcome)
    rounds.round(3)
    assert health(pool).count(DOWN) == down


def test_a_flip_is_all_that_logs(rounds, pool, servers, caplog):
    caplog.set_level(logging.INFO)
    rounds.outcomes[servers[1]] = finding(REFUSED, where_to_look="its URL")
    rounds.round(6)
    rounds.outcomes[servers[1]] = PASS
    rounds.round(4)
    assert caplog.messages == [
        "server 127.0.0.1:5002 is down: check: connection refused; see its URL",
        "server 127.0.0.1:5002 is up: check: 200 OK",
    ]


def test_every_check_is_recorded(rounds, pool, servers):
    rounds.outcomes[servers[0]] = REFUSED
    rounds.tick()
    assert status(pool, servers[0]).last_check == REFUSED
    assert status(pool, servers[0]).unanswered_since is not None
    assert status(pool, servers[1]).last_check == PASS
    assert status(pool, servers[1]).unanswered_since is None


def test_a_server_that_traffic_took_down_needs_rise_passes_from_then_on(rounds, pool, servers):
    rounds.round(5)
    pool.mark_failed(servers[0], 5, "worker")
    rounds.round()
    assert health(pool)[0] is DOWN
    rounds.round()
    assert health(pool)[0] is UP


def test_the_streak_starts_anew_when_health_changed_elsewhere(rounds, pool, servers):
    """Two failures, then down and up again by others: it takes three further failures."""
    rounds.outcomes[servers[0]] = ERROR
    rounds.round(2)
    pool.set_health(servers[0], DOWN, "elsewhere", "test")
    rounds.round()
    pool.set_health(servers[0], UP, "", "test")
    rounds.round(2)
    assert health(pool)[0] is UP
    rounds.round()
    assert health(pool)[0] is DOWN


def test_the_answer_of_a_server_that_left_meanwhile_is_dropped(rounds, pool, servers):
    rounds.held = True
    rounds.tick()
    pool.remove(servers[0], "test")
    rounds.tick(1.0)
    rounds.finish()
    assert [status.last_check for status in pool.list()] == [PASS, PASS]


def test_the_answer_given_before_a_server_was_replaced_is_not_its_successors(rounds, pool, servers):
    rounds.held = True
    rounds.tick()
    pool.remove(servers[0], "test")
    rounds.tick(1.0)
    add(pool, servers[0])
    rounds.tick(1.0)
    del rounds.pending[len(servers) :]  # the check of its successor
    rounds.finish()
    assert status(pool, servers[0]).last_check is None


# --- the settings that a verdict was made with

OTHER = {"healthCheck": {"path": "/health"}}


@pytest.fixture
def taken_down(pool, servers):
    """A server that checks with the default settings have taken down."""
    before = Rounds(pool, name="before")
    before.outcomes[servers[0]] = ERROR
    before.round(3)
    before.checker.resign()
    assert health(pool) == [DOWN, UP, UP]
    return servers[0]


def test_what_other_settings_took_down_comes_up_with_its_first_pass(pool, taken_down):
    after = Rounds(pool, name="after", **OTHER)
    assert taken_down in after.tick()
    assert health(pool) == [UP, UP, UP]


def test_with_the_same_settings_it_takes_as_many_passes_as_ever(pool, taken_down):
    after = Rounds(pool, name="after")
    after.tick()
    assert health(pool) == [DOWN, UP, UP]
    after.round()
    assert health(pool) == [UP, UP, UP]


def test_what_the_new_settings_have_confirmed_is_their_own_verdict(pool, taken_down):
    after = Rounds(pool, name="after", **OTHER)
    after.outcomes[taken_down] = Check(False, True, "status 404 (expected 200-399)", 0.001)
    after.tick()
    assert status(pool, taken_down).server.reason == "check: status 404 (expected 200-399)"
    assert kinds(pool, taken_down) == ["added", "down"]
    after.outcomes.clear()
    after.round()
    assert health(pool)[0] is DOWN
    after.round()
    assert health(pool)[0] is UP


def test_a_checker_that_ended_before_its_first_check_leaves_that_to_the_next(pool, taken_down):
    short = Rounds(pool, name="short", **OTHER)
    short.held = True
    short.tick()
    short.checker.resign()
    after = Rounds(pool, name="after", **OTHER)
    after.tick()
    assert health(pool) == [UP, UP, UP]


def test_a_verdict_of_a_version_that_did_not_say_with_which_settings_counts_no_longer(
    pool, taken_down, connection, keys
):
    connection.delete(keys.check_settings)
    Rounds(pool, name="after").tick()
    assert health(pool) == [UP, UP, UP]


def test_failed_requests_are_no_verdict_of_checks(pool, servers):
    before = Rounds(pool, name="before")
    before.round()
    pool.mark_failed(servers[0], 5, "worker")
    before.checker.resign()
    after = Rounds(pool, name="after", **OTHER)
    after.tick()
    assert health(pool)[0] is DOWN
    after.round()
    assert health(pool)[0] is UP


def test_an_outage_of_the_store_changes_no_settings(rounds, pool, servers):
    rounds.outcomes[servers[0]] = ERROR
    rounds.round(3)
    rounds.outcomes.clear()
    rounds.checker.forget()  # as when the store was away
    rounds.round()
    assert health(pool)[0] is DOWN


def test_silence_counts_from_the_first_check_with_the_new_settings(pool, servers, connection, keys):
    """The time-out may have been too short."""
    before = Rounds(pool, name="before", threshold="60s")
    before.outcomes[servers[0]] = REFUSED
    before.round(3)
    connection.hset(keys.unanswered, servers[0], 1.0)
    before.checker.resign()
    after = Rounds(pool, name="after", threshold="60s", **OTHER)
    after.outcomes[servers[0]] = REFUSED
    after.tick()
    assert status(pool, servers[0]).unanswered_since > 1.0
    assert len(pool.list()) == 3


def test_a_check_that_we_could_not_make_is_none(rounds, pool, servers, caplog):
    rounds.outcomes[servers[0]] = finding(Check(False, False, "too many open files", 0.0), not_made=True)
    rounds.round(4)
    assert health(pool)[0] is UP
    assert status(pool, servers[0]).last_check is None
    assert caplog.messages == [f"server {servers[0]} is not checked: too many open files"]


# --- servers that come back


@pytest.mark.parametrize("leaves", ["removed", "maint", "drain"])
def test_a_server_that_is_back_is_checked_at_once(pool, servers, leaves):
    """Also if that was quicker than a look at the pool."""
    rounds = Rounds(pool, healthCheckInterval="10m")
    rounds.tick()
    if leaves == "removed":
        pool.remove(servers[0], "test")
        pool.restore(servers[0], "test")
    else:
        pool.set_admin(servers[0], Admin(leaves), "test")
        pool.set_admin(servers[0], Admin.READY, "test")
    assert rounds.tick(1.0) == [servers[0]]


def test_a_server_that_is_back_does_not_wait_for_the_check_that_it_left_behind(rounds, pool, servers):
    rounds.held = True
    rounds.tick()
    pool.remove(servers[0], "test")
    rounds.tick(1.0)
    pool.restore(servers[0], "test")
    assert rounds.tick(1.0) == [servers[0]]


def test_a_verdict_of_its_own_brings_no_further_check(rounds, pool, servers):
    rounds.outcomes[servers[0]] = ERROR
    rounds.round(3)
    assert health(pool)[0] is DOWN
    assert rounds.tick(INTERVAL / 2) == []


# --- the addresses of a name

SICK, WELL = "192.0.2.1:80", "192.0.2.2:80"


def check_of(**problems):
    addresses = {SICK: problems.get("sick", ""), WELL: problems.get("well", "")}
    return finding(PASS, addresses=addresses)


def test_an_address_that_fails_while_another_passes_is_left_out(rounds, pool, servers, caplog):
    caplog.set_level(logging.INFO)
    rounds.outcomes[servers[0]] = check_of(sick="status 500")
    rounds.round(2)
    version = pool.version()
    assert pool.left_out() == {}
    rounds.round(2)
    assert pool.left_out() == {servers[0]: {SICK}}
    assert pool.version() == version + 1
    rounds.outcomes[servers[0]] = check_of()
    rounds.round()
    assert pool.left_out() == {servers[0]: {SICK}}
    rounds.round()
    assert pool.left_out() == {}
    assert health(pool) == [UP, UP, UP]
    assert kinds(pool, servers[0]) == ["added", "addresses", "addresses"]
    assert caplog.messages == [
        f"addresses of server {servers[0]}: left out: {SICK}: status 500",
        f"addresses of server {servers[0]}: all are used",
    ]


def test_a_server_comes_up_without_the_address_that_still_fails(rounds, pool, servers):
    rounds.outcomes[servers[0]] = finding(ERROR, addresses={SICK: "status 500", WELL: "status 500"})
    rounds.round(3)
    rounds.outcomes[servers[0]] = check_of(sick="status 500")
    rounds.round(2)
    assert kinds(pool, servers[0]) == ["added", "down", "addresses", "up"]


def test_the_next_leader_goes_on_with_what_is_left_out(pool, servers):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    first.outcomes[servers[0]] = check_of(sick="status 500")
    first.round(3)
    first.checker.resign()
    second.outcomes[servers[0]] = check_of()
    second.tick()
    assert pool.left_out() == {servers[0]: {SICK}}
    second.round()
    assert pool.left_out() == {}


def test_what_is_left_out_is_said_again_to_a_store_that_lost_it(rounds, pool, servers, connection, keys):
    rounds.outcomes[servers[0]] = check_of(sick="status 500")
    rounds.round(3)
    connection.delete(keys.left_out)
    rounds.round()
    assert pool.left_out() == {servers[0]: {SICK}}


def test_a_server_that_leaves_takes_its_addresses_along(rounds, pool, servers):
    rounds.outcomes[servers[0]] = check_of(sick="status 500")
    rounds.round(3)
    pool.remove(servers[0], "test")
    assert pool.left_out() == {}


def test_a_name_that_cannot_be_looked_up_is_told_once(rounds, pool, servers, caplog):
    caplog.set_level(logging.INFO)
    rounds.outcomes[servers[0]] = finding(PASS, name_problem="name server does not answer")
    rounds.round(3)
    rounds.outcomes[servers[0]] = PASS
    rounds.round(3)
    assert caplog.messages == [
        f"server {servers[0]}: its name cannot be looked up: name server does not answer",
        f"server {servers[0]}: its name is found again",
    ]


# --- removal


def test_a_server_without_an_answer_for_the_threshold_is_removed(pool, servers, caplog):
    rounds = Rounds(pool, threshold="1ms")
    rounds.outcomes[servers[0]] = REFUSED
    rounds.round(12)
    assert [status.server.id for status in pool.list()] == servers[1:]
    assert [record.id for record in pool.removed()] == [servers[0]]
    assert caplog.messages[-1] == "server 127.0.0.1:5001 is removed: no answer for 0.001 s"


def test_a_server_that_answers_however_badly_is_never_removed(pool, servers):
    rounds = Rounds(pool, threshold="1ms")
    rounds.outcomes[servers[0]] = ERROR
    rounds.round(6)
    assert health(pool) == [DOWN, UP, UP]


def test_a_server_within_the_threshold_stays(rounds, pool, servers):
    rounds.outcomes[servers[0]] = REFUSED
    rounds.round(6)
    assert health(pool) == [DOWN, UP, UP]


def test_at_most_half_of_the_pool_is_removed(pool, servers):
    """A health-checker that is cut off takes servers down, but does not empty the pool."""
    rounds = Rounds(pool, threshold="1ms")
    rounds.outcomes = dict.fromkeys(servers, REFUSED)
    rounds.round(8)
    assert health(pool) == [DOWN, DOWN]


def test_a_restored_server_starts_afresh(pool, servers):
    rounds = Rounds(pool, threshold="1ms")
    rounds.outcomes[servers[0]] = REFUSED
    rounds.round(12)
    pool.restore(servers[0], "test")
    rounds.round(2)
    assert status(pool, servers[0]).server.health is UP


# --- the lead


def test_only_the_leader_asks(pool, servers):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    assert first.tick() == servers
    assert second.tick() == []


def test_after_a_clean_stop_another_leads_at_once(pool, servers):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    first.tick()
    second.tick()
    first.checker.resign()
    assert second.tick(1.0) == servers


def test_a_checker_that_does_not_lead_cannot_resign_for_the_leader(pool, servers):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    first.tick()
    second.checker.resign()
    assert second.tick(1.0) == []


def test_who_lost_the_lead_writes_nothing_and_builds_on_nothing(pool, servers):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    first.outcomes[servers[0]] = ERROR
    first.round(2)
    first.held = True
    first.tick(INTERVAL)
    pool.resign("first")
    second.tick()
    first.tick(1.0)
    first.finish()
    assert health(pool) == [UP, UP, UP]
    assert status(pool, servers[0]).last_check == PASS


def test_an_answer_that_comes_after_the_lease_is_dropped(rounds, pool, servers):
    """The checker stood still: another may lead by now, though this one has not heard of it."""
    rounds.held = True
    rounds.tick()
    rounds.now += 3 * INTERVAL
    rounds.finish()
    assert [status.last_check for status in pool.list()] == [None, None, None]


def test_a_leader_that_stood_still_within_its_report_is_refused(pool, servers, monkeypatch):
    """It saw that it leads, then stood still until another took over: the store knows better."""
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    first.outcomes[servers[0]] = ERROR
    first.round(2)
    record = pool.record_check

    def stand_still(*words):
        monkeypatch.undo()
        pool.resign("first")
        second.tick()
        record(*words)

    monkeypatch.setattr(pool, "record_check", stand_still)
    first.tick(INTERVAL)
    assert health(pool) == [UP, UP, UP]
    assert status(pool, servers[0]).last_check == PASS


def test_who_hears_within_its_report_that_it_leads_no_longer_reports_no_further(pool, servers, monkeypatch):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    first.outcomes[servers[0]] = ERROR
    first.round(2)
    first.held = True
    first.tick(INTERVAL)
    record = pool.record_check

    def lose_the_lead(*words):
        monkeypatch.undo()
        record(*words)
        pool.resign("first")
        second.tick()
        first.tick(1.0)

    monkeypatch.setattr(pool, "record_check", lose_the_lead)
    first.finish()
    assert health(pool) == [UP, UP, UP]


def test_a_checker_that_lost_the_lead_and_got_it_again_starts_all_streaks_anew(pool, servers):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    first.outcomes[servers[0]] = ERROR
    first.round(2)
    pool.resign("first")
    second.tick()
    second.checker.resign()
    first.round(2)
    assert health(pool)[0] is UP
    first.round()
    assert health(pool)[0] is DOWN


def test_its_term_is_known_as_long_as_nobody_else_can_lead(pool, servers):
    first, second = Rounds(pool, name="first"), Rounds(pool, name="second")
    assert first.checker.term is None
    first.tick()
    second.tick()
    assert first.checker.term
    assert second.checker.term is None
    first.now += 3 * INTERVAL
    assert first.checker.term is None


@pytest.mark.parametrize("interval", ["500ms", "1s", "2s"])
def test_another_leads_within_three_intervals_of_the_last_sign_of_the_leader(pool, servers, interval):
    """The lead, and the time until the next look at it."""
    rounds = Rounds(pool, healthCheckInterval=interval)
    seconds = rounds.checker._interval
    rounds.tick()
    lease = rounds.checker._leads_until - rounds.now
    assert lease + rounds.checker._look_seconds + rounds.checker._step_seconds <= 3 * seconds


# --- the store is away


def test_a_check_that_finds_the_store_away_is_lost_and_harms_nothing(rounds, pool, servers, monkeypatch):
    def away(*_):
        raise StoreUnavailableError("away")

    monkeypatch.setattr(pool, "record_check", away)
    rounds.tick()
    monkeypatch.undo()
    assert rounds.tick(INTERVAL) == servers


def test_forgetting_starts_all_streaks_anew(rounds, pool, servers):
    rounds.outcomes[servers[0]] = ERROR
    rounds.round(2)
    rounds.checker.forget()
    rounds.round(2)
    assert health(pool)[0] is UP
    rounds.round()
    assert health(pool)[0] is DOWN


def test_flips_are_the_health_checkers_in_the_events(rounds, pool, servers):
    rounds.outcomes[servers[0]] = ERROR
    rounds.round(3)
    assert pool.events()[-1].by == BY
