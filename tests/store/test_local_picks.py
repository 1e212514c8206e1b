"""What a worker picks by itself: the twin of the strategy, around the servers that failed it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from lb.model import Admin, Health, Server, ServerId, Snapshot, Source
from lb.store.local_picks import BARRED_SECONDS, LocalPicks

A, B, C, D = (ServerId(f"{name}:1") for name in "abcd")


class Fixture:
    def __init__(self, *servers: ServerId, limit: int = 3, strategy: str = "round-robin") -> None:
        self.now = 100.0
        self.picks = LocalPicks(limit, clock=lambda: self.now)
        members = (
            Server(one, f"http://{one}", 1, Admin.READY, Health.UP, Source.CONFIG, "", 0.0) for one in servers
        )
        self.held: dict[ServerId, int] = {}
        self.snapshot = Snapshot(1, strategy, tuple(members))
        self.picks.update(self.snapshot, self.held)

    def served(self, *excluded: ServerId) -> set[ServerId | None]:
        return {self.picks.pick(excluded) for _ in range(20)}


def test_without_servers_there_is_no_pick() -> None:
    assert LocalPicks().pick(()) is None


def test_the_strategy_goes_on_with_what_this_worker_holds() -> None:
    fixture = Fixture(A, B, strategy="least-connections")
    fixture.held[A] = 1
    assert fixture.served() == {B}
    fixture.held[B] = 2
    assert fixture.served() == {A}


def test_a_newer_snapshot_changes_neither_whose_turn_it_is_nor_what_is_held() -> None:
    fixture = Fixture(A, B, C)
    assert fixture.picks.pick(()) == A
    fixture.held |= {A: 1, B: 0}
    fixture.picks.update(fixture.snapshot, fixture.held)
    assert fixture.picks.pick(()) == B
    assert fixture.held == {A: 1}


@pytest.mark.parametrize("fail_open", [True, False])
def test_while_none_is_up_all_that_are_ready_are_picked(fail_open: bool) -> None:
    """As the store has them picked, weights and turns included."""
    fixture = Fixture(A, B, C, D)
    states = {A: Admin.READY, B: Admin.DRAIN, C: Admin.READY, D: Admin.MAINT}
    members = tuple(
        replace(server, admin=states[server.id], health=Health.DOWN, weight=1 + (server.id == C))
        for server in fixture.snapshot.servers
    )
    fixture.picks.update(replace(fixture.snapshot, servers=members, fail_open=fail_open), fixture.held)
    picks = Counter(fixture.picks.pick(()) for _ in range(9))
    assert picks == ({A: 3, C: 6} if fail_open else {None: 9})


def test_a_strategy_that_only_a_newer_version_knows_is_picked_in_turn() -> None:
    fixture = Fixture(A, B, strategy="known-to-a-newer-version")
    assert [fixture.picks.pick(()) for _ in range(4)] == [A, B, A, B]


def test_a_server_is_barred_at_the_limit_for_a_time() -> None:
    fixture = Fixture(A, B, C)
    fixture.picks.failed(A, 2)
    assert fixture.served() == {A, B, C}
    fixture.picks.failed(A, 3)
    assert fixture.served() == {B, C}
    fixture.now += BARRED_SECONDS
    assert fixture.served() == {A, B, C}
    fixture.picks.failed(A, 4)
    assert fixture.served() == {B, C}
    fixture.picks.forget()
    assert fixture.served() == {A, B, C}


def test_at_most_half_is_barred_and_never_the_last() -> None:
    fixture = Fixture(A, B, C, D)
    for server in (A, B, C, D):
        fixture.picks.failed(server, 3)
    assert fixture.served() == {C, D}
    assert Fixture(A).served() == {A}
    lone = Fixture(A)
    lone.picks.failed(A, 3)
    assert lone.served() == {A}


def test_a_barred_server_is_better_than_none() -> None:
    fixture = Fixture(A, B)
    fixture.picks.failed(A, 3)
    assert fixture.served(B) == {A}
    assert fixture.served(A, B) == {None}


def test_without_a_limit_nobody_is_barred(caplog: pytest.LogCaptureFixture) -> None:
    fixture = Fixture(A, B, limit=0)
    fixture.picks.failed(A, 1000)
    assert fixture.served() == {A, B}
    assert caplog.messages == []


def test_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    fixture = Fixture(A, B)
    for failures in (3, 4, 5):
        fixture.picks.failed(A, failures)
    assert caplog.messages == ["a:1 is not picked while degraded: 3 failures in a row"]
