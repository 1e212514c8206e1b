"""Servers that were removed for their silence: who still awaits them, and how they come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from lb.errors import StoreError, UnknownServerError
from lb.model import Admin, Health, ServerId, Source
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.store.acts import UNANSWERED, Worker, spec

A, B, C, D = (ServerId(f"{name}:1") for name in "abcd")
Silence = Callable[[ServerId], bool]


@pytest.fixture
def four(pool: BackendPool) -> BackendPool:
    pool.reconcile([spec(A), spec(B), spec(C), spec(D)], "round-robin", "config")
    return pool


@pytest.fixture
def silence(four: BackendPool, connection: redis.Redis, keys: Keys) -> Silence:
    """Have a server leave its checks unanswered for longer than the threshold."""

    def silence(server: ServerId) -> bool:
        four.record_check(server, UNANSWERED)
        four.set_health(server, Health.DOWN, "connection refused", "checker")
        connection.hset(keys.unanswered, server, "1.5")
        return four.remove_unanswered(server, 60, "checker")

    return silence


def awaited(pool: BackendPool) -> list[ServerId]:
    assert {one.id for one in pool.removed() if one.returns} == {one.id for one in pool.awaited()}
    return [one.id for one in pool.awaited()]


def test_a_silent_server_comes_back_as_it_was(
    four: BackendPool, silence: Silence, connection: redis.Redis, keys: Keys
) -> None:
    four.set_weight(B, 7, "lb-admin")
    assert silence(B)
    assert awaited(four) == [B]
    four.set_strategy("least-connections", "lb-admin")
    four.set_admin(A, Admin.DRAIN, "lb-admin")

    assert four.bring_back(B, "checker")
    server = four.snapshot().servers[-1]
    assert (server.id, server.weight, server.source, server.eligible) == (B, 7, Source.CONFIG, True)
    event = four.events()[-1]
    assert (event.kind, event.server, event.by) == ("returned", B, "checker")
    assert Worker(connection, keys, "w1").lease(picks=9).count(B) == 7
    assert (awaited(four), four.removed()) == ([], [])
    assert not four.bring_back(B, "checker")


def test_what_an_operator_removed_stays_away(four: BackendPool, silence: Silence) -> None:
    four.remove(A, "lb-admin")
    assert awaited(four) == []
    assert not four.bring_back(A, "checker")

    assert silence(B)
    version = four.version()
    four.remove(B, "lb-admin")  # though it has left already: it is not to come back
    assert (awaited(four), four.version()) == ([], version)
    event = four.events()[-1]
    assert (event.kind, event.server, event.by) == ("removed", B, "lb-admin")
    assert not four.bring_back(B, "checker")
    with pytest.raises(UnknownServerError):
        four.remove(B, "lb-admin")
    assert four.restore(B, "lb-admin").eligible


def test_what_the_config_no_longer_names_stays_away(four: BackendPool, silence: Silence) -> None:
    four.add(spec(ServerId("e:1")), Source.ADMIN, "lb-admin")
    for server in (A, ServerId("e:1")):
        assert silence(server)
    four.reconcile([spec(B), spec(C), spec(D)], "round-robin", "config")
    assert awaited(four) == ["e:1"]
    assert not four.bring_back(A, "checker")
    assert four.bring_back(ServerId("e:1"), "checker")
    assert four.snapshot().servers[-1].source is Source.ADMIN


def test_what_the_config_names_is_there_at_the_next_reload(four: BackendPool, silence: Silence) -> None:
    assert silence(A)
    four.reconcile([spec(A), spec(B), spec(C), spec(D)], "round-robin", "config")
    assert A in [server.id for server in four.snapshot().servers]
    assert awaited(four) == []


@pytest.mark.parametrize("back", ["add", "restore"])
def test_an_operator_can_have_it_sooner(four: BackendPool, silence: Silence, back: str) -> None:
    assert silence(A)
    if back == "add":
        four.add(spec(A, 3), Source.ADMIN, "lb-admin")
    else:
        four.restore(A, "lb-admin")
    assert awaited(four) == []
    assert not four.bring_back(A, "checker")


def test_restoring_what_has_just_come_back_is_no_error(four: BackendPool, silence: Silence) -> None:
    assert silence(A)
    assert four.bring_back(A, "checker")
    before = four.version(), four.events()
    assert four.restore(A, "lb-admin").eligible
    assert (four.version(), four.events()) == before
    with pytest.raises(UnknownServerError):
        four.restore(B, "lb-admin")

    four.reconcile([spec(B), spec(C), spec(D)], "round-robin", "config")
    with pytest.raises(UnknownServerError):  # that it once came back is no record of this
        four.restore(A, "lb-admin")


def test_a_deposed_health_checker_brings_nobody_back(four: BackendPool, silence: Silence) -> None:
    assert silence(A)
    old = four.lead("one", 30)
    four.resign("one")
    assert four.lead("two", 30)
    with pytest.raises(StoreError, match="no longer leads"):
        four.bring_back(A, "checker", old)
    assert awaited(four) == [A]


def test_those_that_came_back_no_longer_count_as_removed(four: BackendPool, silence: Silence) -> None:
    assert [silence(server) for server in (A, B, C)] == [True, True, False]
    assert four.bring_back(A, "checker")
    assert silence(C)


def test_one_that_left_more_than_an_hour_ago_is_still_awaited(
    four: BackendPool, silence: Silence, connection: redis.Redis, keys: Keys
) -> None:
    for server in (A, B):
        assert silence(server)
        connection.zincrby(keys.removed_unanswered, -3601, server)
    assert silence(C)
    assert awaited(four) == [A, B, C]
    connection.zincrby(keys.removed_unanswered, -30 * 24 * 3600, A)
    connection.delete(keys.removed_server(B))  # its record has ended
    assert silence(D) is False
    four.bring_back(C, "checker")
    assert silence(C)
    assert awaited(four) == [C]


def test_only_the_newest_thousand_are_kept(
    four: BackendPool, silence: Silence, connection: redis.Redis, keys: Keys
) -> None:
    old = {f"old{number}:1": 1e9 + number for number in range(1200)}
    for key in (keys.removed, keys.removed_unanswered):
        connection.zadd(
            key, {server: float(connection.time()[0]) - 9e6 + at - 1e9 for server, at in old.items()}
        )
        connection.zadd(key, {f"new{n}:1": float(connection.time()[0]) - 5000 + n for n in range(1200)})
    assert silence(A)
    for key in (keys.removed, keys.removed_unanswered):
        assert connection.zcard(key) == 1000
        assert connection.zrange(key, -2, -1) == ["new1199:1", A]


def test_an_odd_record_brings_nobody_back(
    four: BackendPool, silence: Silence, connection: redis.Redis, keys: Keys
) -> None:
    assert silence(A)
    connection.hset(keys.removed_server(A), "weight", "many")
    connection.hset(keys.removed_server(A), "source", "nobody")
    assert four.bring_back(A, "checker")
    server = four.snapshot().servers[-1]
    assert (server.weight, server.source) == (1, Source.ADMIN)
    assert silence(B)
    connection.hset(keys.removed_server(B), "url", "\x1b[2J")
    assert not four.bring_back(B, "checker")


def test_while_no_server_is_up_but_servers_answer_none_is_removed(
    four: BackendPool, silence: Silence, connection: redis.Redis, keys: Keys
) -> None:
    """The pool fails open, and it shows that the checks are wrong."""
    for server in (A, B, C, D):
        four.set_health(server, Health.DOWN, "connection refused", "checker")
    connection.set(keys.answered, "1")
    assert not silence(A)
    assert not silence(A)
    [event] = [event for event in four.events() if event.kind == "removal-refused"]
    assert "no server is up, and servers answer requests" in event.detail
    connection.delete(keys.answered)
    assert silence(A)


@pytest.mark.parametrize("weight", ["abc", "999", "1e1", "-1", ""])
def test_an_odd_record_does_no_harm_to_the_pool_when_it_is_restored(
    four: BackendPool, connection: redis.Redis, keys: Keys, weight: str
) -> None:
    four.remove(A, "test")
    connection.hset(keys.removed_server(A), mapping={"weight": weight, "source": "nobody"})
    server = four.restore(A, "test")
    assert (server.weight, server.source) == (1, Source.ADMIN)
    four.remove(A, "test")
    connection.hset(keys.removed_server(A), "url", "http://elsewhere:80")
    with pytest.raises(UnknownServerError):
        four.restore(A, "test")
    assert not four.snapshot().damage
