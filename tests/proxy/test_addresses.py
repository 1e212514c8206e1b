"""Where a server is: by number, by name, by path; looked up without holding up anyone."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from lb.errors import ServerConnectError
from lb.model import ServerId
from lb.proxy import addresses
from lb.proxy.addresses import Address, Addresses
from tests.proxy.rig import until

Resolver = Callable[[], list[str]]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Resolver], list[str]]:
    """Have names looked up by a function; returns the names asked for."""

    def install(resolver: Resolver) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port)) for found in resolver()]

        monkeypatch.setattr(addresses.socket, "getaddrinfo", getaddrinfo)
        return asked

    return install


Resolve = Callable[[Resolver], list[str]]


def hosts(found: list[Address]) -> list[str]:
    return [place[0] for _, place in found]


@pytest.mark.parametrize(("server", "expected"), [
    ("127.0.0.1:80", (socket.AF_INET, ("127.0.0.1", 80))),
    ("[::1]:80", (socket.AF_INET6, ("::1", 80))),
    ("unix:/run/a:1", (socket.AF_UNIX, "/run/a:1")),
])  # fmt: skip
def test_numbers_and_paths_are_not_looked_up(resolve: Resolve, server: str, expected: Address) -> None:
    asked = resolve(list)
    assert Addresses(ServerId(server)).in_order(1) == [expected]
    assert not asked


def test_each_time_another_address_is_the_first(resolve: Resolve) -> None:
    asked = resolve(lambda: ["1.1.1.1", "2.2.2.2", "3.3.3.3"])
    to = Addresses(ServerId("name:80"))
    firsts = [hosts(to.in_order(1))[0] for _ in range(6)]
    assert firsts == ["1.1.1.1", "2.2.2.2", "3.3.3.3"] * 2
    assert all(len(to.in_order(1)) == 3 for _ in range(3))
    assert asked == ["name"]


def test_one_that_failed_is_tried_last_until_it_works(resolve: Resolve) -> None:
    resolve(lambda: ["1.1.1.1", "2.2.2.2"])
    to = Addresses(ServerId("name:80"))
    bad = to.in_order(1)[0]
    to.failed(bad)
    assert [hosts(to.in_order(1)) for _ in range(3)] == [["2.2.2.2", "1.1.1.1"]] * 3
    to.worked(bad)
    assert {hosts(to.in_order(1))[0] for _ in range(2)} == {"1.1.1.1", "2.2.2.2"}


def test_one_that_fails_its_checks_is_tried_last(resolve: Resolve) -> None:
    resolve(lambda: ["1.1.1.1", "::2", "3.3.3.3"])
    to = Addresses(ServerId("name:80"))
    to.left_out = {"[::2]:80"}
    assert [hosts(to.in_order(1))[-1] for _ in range(3)] == ["::2"] * 3
    for address in to.in_order(1)[:2]:
        to.failed(address)
    assert hosts(to.in_order(1))[-1] == "::2"
    to.left_out = ()
    assert hosts(to.in_order(1))[0] == "::2"


def test_a_name_is_looked_up_again_beside_the_traffic(
    resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "RESOLVE_SECONDS", 0.0)
    answers = [["1.1.1.1"], ["2.2.2.2"]]

    def slow() -> list[str]:
        gevent.sleep(0.05)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    resolve(slow)
    to = Addresses(ServerId("name:80"))
    assert hosts(to.in_order(1)) == ["1.1.1.1"]
    assert hosts(to.in_order(1)) == ["1.1.1.1"]
    assert to._lookup is not None  # nobody has waited for it
    until(lambda: hosts(to.in_order(1)) == ["2.2.2.2"])
    until(lambda: to._lookup is None)  # or it would ask the next test's resolver


def test_old_addresses_serve_while_the_name_cannot_be_resolved(
    resolve: Resolve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "RESOLVE_SECONDS", 0.0)

    def once() -> list[str]:
        if len(asked) > 1:
            raise socket.gaierror(-3, "Temporary failure")
        return ["1.1.1.1"]

    asked = resolve(once)
    to = Addresses(ServerId("name:80"))
    for _ in range(3):
        assert hosts(to.in_order(1)) == ["1.1.1.1"]
        until(lambda: to._lookup is None)
    assert len(asked) > 1


def test_many_who_wait_for_a_name_ask_once(resolve: Resolve) -> None:
    def slow() -> list[str]:
        gevent.sleep(0.02)
        return ["1.1.1.1"]

    asked = resolve(slow)
    to = Addresses(ServerId("name:80"))
    waiting = [gevent.spawn(to.in_order, 1) for _ in range(5)]
    assert [hosts(one.get()) for one in waiting] == [["1.1.1.1"]] * 5
    assert asked == ["name"]


def test_a_name_without_an_address_is_told_with_its_reason(resolve: Resolve) -> None:
    def unknown() -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    resolve(unknown)
    with pytest.raises(ServerConnectError, match=r"name:80: .*Name or service not known") as caught:
        Addresses(ServerId("name:80")).in_order(1)
    assert caught.value.status == 502
    resolve(list)
    with pytest.raises(ServerConnectError, match="name:80: no address"):
        Addresses(ServerId("name:80")).in_order(1)


def test_a_resolver_that_says_nothing_is_waited_for_no_longer_than_for_a_connection(resolve: Resolve) -> None:
    def silent() -> list[str]:
        gevent.sleep(1)
        return []

    resolve(silent)
    with pytest.raises(ServerConnectError, match=r"not looked up in 0\.05 s") as caught:
        Addresses(ServerId("name:80")).in_order(0.05)
    assert caught.value.status == 504
