"""Names looked up by a resolver that answers when the test says."""

from __future__ import annotations

import socket

import gevent.event
import pytest

from lb.health.names import Names, is_gone

HERE = (socket.AF_INET, ("192.0.2.1", 80))


class Resolver:
    """Hangs until it may answer."""

    def __init__(self) -> None:
        self.may_answer = gevent.event.Event()
        self.asked: list[str] = []
        self.error: Exception | None = None

    def __call__(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        assert self.may_answer.wait(10)
        if self.error:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    monkeypatch.setattr("socket.getaddrinfo", resolver)
    return resolver


def test_a_look_up_that_hangs_is_waited_for_so_long_and_not_begun_again(resolver: Resolver) -> None:
    names = Names()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            names.places("slow.example", 80, 0.01)
    assert resolver.asked == ["slow.example"]
    resolver.may_answer.set()
    assert names.places("slow.example", 80, 10) == [HERE]
    assert names.places("slow.example", 80, 10) == [HERE]
    assert len(resolver.asked) == 2  # what is known may be outdated the next time


def test_each_name_is_looked_up_by_itself(resolver: Resolver) -> None:
    names = Names()
    for host in ("a.example", "b.example"):
        with pytest.raises(TimeoutError):
            names.places(host, 80, 0.01)
    assert resolver.asked == ["a.example", "b.example"]
    resolver.may_answer.set()


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long")]
)
def test_a_name_without_a_place_is_an_error_each_time(resolver: Resolver, error: Exception) -> None:
    names = Names()
    resolver.error = error
    resolver.may_answer.set()
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            names.places("nowhere.example", 80, 10)


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_an_address_needs_no_look_up(resolver: Resolver, host: str, family: int) -> None:
    assert Names().places(host, 80, 10) == [(family, (host, 80))]
    assert resolver.asked == []


def test_what_was_found_last_is_known(resolver: Resolver) -> None:
    names = Names()
    assert names.last_known("a.example", 80) == []
    resolver.may_answer.set()
    names.places("a.example", 80, 10)
    resolver.error = socket.gaierror(socket.EAI_AGAIN, "try again")
    with pytest.raises(socket.gaierror):
        names.places("a.example", 80, 10)
    assert names.last_known("a.example", 80) == [HERE]


def test_a_name_that_is_gone_is_another_thing_than_no_answer() -> None:
    assert is_gone(socket.gaierror(socket.EAI_NONAME, "unknown"))
    assert not is_gone(socket.gaierror(socket.EAI_AGAIN, "try again"))
    assert not is_gone(TimeoutError())
