from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.processes.api_gate import LOOPBACK, OTHERS, PER_ADDRESS, Gate, Visit


class Socket:
    ended = False

    def shutdown(self, how: int, /) -> None:
        self.ended = True


class Case:
    def __init__(self) -> None:
        self.now = 0.0
        self.gate = Gate(loopback=3, others=4, per_address=2, clock=lambda: self.now)
        self.sockets: dict[Visit, Socket] = {}

    def enter(self, host: str) -> Visit | None:
        self.now += 1
        sock = Socket()
        visit = self.gate.enter(sock, host)
        if visit is not None:
            self.sockets[visit] = sock
        return visit

    def ended(self, visit: Visit | None) -> bool:
        assert visit is not None
        return self.sockets[visit].ended


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.mark.parametrize(
    "hosts",
    [
        ["10.0.0.1", "10.0.0.1", "10.0.0.1"],
        ["2001:db8::1", "2001:db8::2", "2001:db8::3"],
        ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.1"],
        ["127.0.0.1", "::ffff:127.0.0.2", "::ffff:127.0.0.1", "::1"],
        ["10.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.0.1"],
        ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"],
    ],
)
def test_the_one_that_is_silent_for_longest_makes_room(case: Case, hosts: list[str]) -> None:
    visits = [case.enter(host) for host in hosts]
    assert [case.ended(visit) for visit in visits] == [True] + [False] * (len(hosts) - 1)


def test_one_at_work_stays(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    first, second = case.enter("10.0.0.1"), case.enter("10.0.0.1")
    assert first
    assert second
    first.at_work()
    third = case.enter("10.0.0.1")
    assert (case.ended(first), case.ended(second)) == (False, True)
    assert third
    third.at_work()
    assert case.enter("10.0.0.1") is None
    first.waits()
    assert case.enter("10.0.0.1")
    assert case.ended(first)
    assert len(caplog.messages) == 2, "one for each kind"


def test_other_addresses_and_this_machine_have_room(case: Case) -> None:
    for number in range(20):
        visit = case.enter(f"10.0.0.{number}")
        if visit is not None:
            visit.at_work()
    assert case.enter("10.0.1.1") is None
    local = case.enter("127.0.0.1")
    assert local
    case.gate.leave(next(iter(case.sockets)))
    assert case.enter("10.0.1.1")


def test_ipv4_clients_of_a_socket_for_both_are_told_apart(case: Case) -> None:
    visits = [case.enter(f"::ffff:10.0.0.{number}") for number in range(4)]
    assert not any(case.ended(visit) for visit in visits)


def test_the_time_that_counts_is_since_the_last_work(case: Case) -> None:
    first, second = case.enter("10.0.0.1"), case.enter("10.0.0.1")
    assert first
    first.at_work()
    case.now += 1
    first.waits()
    first.waits()
    assert case.enter("10.0.0.1")
    assert case.ended(second)


@given(st.lists(st.tuples(st.sampled_from(["127.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.3"]), st.booleans())))
def test_there_are_never_more_than_may_be(visits: list[tuple[str, bool]]) -> None:
    case = Case()
    for host, works in visits:
        visit = case.enter(host)
        if visit is not None and works:
            visit.at_work()
        inside = [v.key for v, sock in case.sockets.items() if not sock.ended]
        assert inside.count("loopback") <= 3
        assert len(inside) - inside.count("loopback") <= 4
        assert all(inside.count(key) <= 2 for key in ("10.0.0.1", "10.0.0.2", "10.0.0.3"))


def test_it_keeps_within_the_descriptors() -> None:
    few, many = Gate.within(256), Gate.within(65536)
    assert few._loopback + few._others <= 256 - 64
    assert (many._loopback, many._others, many._per_address) == (LOOPBACK, OTHERS, PER_ADDRESS)
