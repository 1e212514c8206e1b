"""The checker finds what is wrong: it is shown records that violate the contract."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lb.model import Admin, ServerId
from tests.chaos import verdict
from tests.chaos.acts import Ban, Wish
from tests.chaos.subject import Host, Subject
from tests.chaos.traffic import Record

A, B = ServerId("a:1"), ServerId("b:1")
GOOD = Record("/1", 0, opened=10.0, port=7, sent=20.0, done=20.1, status=200, server=A)
BROKEN = replace(GOOD, status=0, server="", error="reset")


@pytest.fixture
def acts() -> Any:
    """One host and two servers, to which nothing has happened."""
    subject = Subject.__new__(Subject)
    subject.outages = []
    subject.hosts = [Host.__new__(Host)]
    subject.hosts[0].down = []
    subject.servers = {server: SimpleNamespace(id=server, log=[]) for server in (A, B)}  # type: ignore[misc]
    return SimpleNamespace(
        subject=subject, bans=[], fresh_workers=[], lost_clients={}, wishes={A: Wish(), B: Wish(weight=2)}
    )


@pytest.mark.parametrize("wrong", [replace(GOOD, status=502), BROKEN])
def test_an_error_is_found(acts: Any, wrong: Record) -> None:
    assert len([*verdict.errors([GOOD, wrong], acts)]) == 1


def test_errors_of_killed_workers_and_hosts_are_excused(acts: Any) -> None:
    acts.lost_clients[0, 7] = 20.05
    assert [*verdict.errors([BROKEN], acts)] == []
    assert [*verdict.errors([replace(BROKEN, opened=20.06)], acts)]  # the port of another connection
    assert [*verdict.errors([replace(GOOD, status=503)], acts)]
    acts.lost_clients.clear()
    acts.subject.hosts[0].down = [[19.0, 20.05]]
    assert [*verdict.errors([BROKEN], acts)] == []
    assert [*verdict.errors([replace(BROKEN, opened=21.0, sent=21.0, done=21.1)], acts)]


def test_a_pick_of_a_banned_server_is_found(acts: Any) -> None:
    acts.subject.servers[A].log.append((20.05, "/1"))
    acts.bans.append(Ban(A, 19.0))
    assert [*verdict.banned_picks([GOOD], acts)]
    acts.bans[0].end = 20.04
    assert [*verdict.banned_picks([GOOD], acts)] == []
    acts.bans[0] = Ban(A, 20.01)  # sent before
    assert [*verdict.banned_picks([GOOD], acts)] == []


@pytest.mark.parametrize(
    ("outage", "fresh", "excused"), [(20.0, [], True), (21.5, [], False), (21.5, [21.6], True)]
)
def test_without_the_store_only_those_are_excused_who_could_not_know(
    acts: Any, outage: float, fresh: list[float], excused: bool
) -> None:
    acts.subject.servers[A].log.append((22.0, "/1"))
    acts.bans.append(Ban(A, 19.0))
    acts.subject.outages.append([outage])
    acts.fresh_workers += fresh
    record = replace(GOOD, sent=21.9, done=22.1)
    assert ([*verdict.banned_picks([record], acts)] == []) is excused


def test_a_server_without_a_log_of_the_request_is_found(acts: Any) -> None:
    assert [*verdict.misattributed([GOOD], acts.subject)]
    acts.subject.servers[A].log.append((20.05, "/1"))
    assert [*verdict.misattributed([GOOD], acts.subject)] == []


def test_one_pick_out_of_turn_is_found(acts: Any) -> None:
    exact = [replace(GOOD, server=server) for server in (A, B, B) * 4]
    assert [*verdict.inexact(exact, acts)] == []
    assert [*verdict.inexact([*exact[:-1], replace(GOOD, server=A)], acts)]
    acts.wishes[B].admin = Admin.DRAIN
    assert [*verdict.inexact(exact, acts)]
