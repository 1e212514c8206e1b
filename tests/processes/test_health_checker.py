import os
import select
import socket
import subprocess
from collections.abc import Callable

import gevent
from gevent.event import Event

from lb.config import load
from lb.errors import StoreUnavailableError
from lb.processes import control, health_checker
from lb.processes.health_checker import Turns
from tests.proxy.rig import until


class Work:
    """Does as the test says: fails while the store is away."""

    def __init__(self) -> None:
        self.away = False
        self.forgotten = 0

    def __call__(self) -> float:
        if self.away:
            raise StoreUnavailableError("the store at unix:///s cannot be reached")
        return 0.1

    def forget(self) -> None:
        self.forgotten += 1


def turns() -> tuple[Work, Callable[[], float]]:
    work = Work()
    return work, Turns(work, work.forget).take


def test_work_says_when_the_next_turn_is():
    _, take = turns()
    assert take() == 0.1


def test_turns_come_later_and_later_while_the_store_is_away():
    work, take = turns()
    work.away = True
    assert [take() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    work.away = False
    assert take() == 0.1
    work.away = True
    assert take() == 0.25


def test_a_lost_store_is_told_once_and_its_return_once(caplog):
    caplog.set_level("INFO")
    work, take = turns()
    take()
    for work.away in (True, True, True, False, False):
        take()
    assert caplog.messages == [
        "the store is away, servers are not checked meanwhile: the store at unix:///s cannot be reached",
        "the store is back, servers are checked again",
    ]


def test_what_was_seen_before_the_store_was_lost_is_forgotten():
    work, take = turns()
    take()
    assert work.forgotten == 0
    work.away = True
    take()
    assert work.forgotten == 1


def test_who_waits_for_the_store_gives_signs_of_life(monkeypatch):
    """Such as for a name server that does not answer."""
    monkeypatch.setattr(control, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(gevent, "signal_handler", lambda *_: None)
    waited_for = Event()
    monkeypatch.setattr(Turns, "take", lambda _: waited_for.wait() and 0.0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        config = load(None, {"LB_REDIS": "redis://127.0.0.1:1"}, {})
        running = gevent.spawn(health_checker.run, config, control.Control(theirs.fileno()))
        for _ in range(4):
            until(lambda: select.select([ours], [], [], 0)[0])
            assert ours.recv(1)
        ours.close()  # the supervisor is gone
        waited_for.set()
        running.join(10)
        assert running.successful()


def test_while_it_leads_ended_runs_are_folded(monkeypatch):
    folding = []

    class Counted:
        def __init__(self, metrics: object) -> None:
            self.folded = 0
            folding.append(self)

        def attempt(self, act: Callable[[], None]) -> None:
            act()

        def fold_ended(self) -> None:
            self.folded += 1

    monkeypatch.setattr(health_checker, "Counted", Counted)
    leads = iter((True, True, False, True))
    ends = iter((False, False, False, False, True))
    health_checker._fold(None, lambda: next(leads), lambda seconds: next(ends))
    assert [each.folded for each in folding] == [2, 1]


def test_the_lead_of_a_killed_health_checker_of_this_host_is_given_up(pool):
    here = socket.gethostname()
    dead = subprocess.Popen(["true"])
    dead.wait()
    for leader, stays in (
        (f"{here}-{dead.pid}-0123abcd", False),
        (f"{here}-{os.getpid()}-0123abcd", True),
        (f"another-{dead.pid}-0123abcd", True),
        ("odd", True),
    ):
        pool.lead(leader, 60)
        health_checker.resign_for_the_dead(pool)
        assert pool.leader() == (leader if stays else None)
        pool.resign(leader)
    health_checker.resign_for_the_dead(pool)
