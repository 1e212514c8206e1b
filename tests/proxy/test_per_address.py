from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lb.proxy.per_address import PerAddress


def none(host: str) -> bool:
    return False


def test_each_address_has_its_own_count() -> None:
    addresses = PerAddress(2, none)
    assert [addresses.enter(host) for host in ("1.2.3.4", "1.2.3.4", "1.2.3.4", "1.2.3.5")] == [
        True,
        True,
        False,
        True,
    ]
    addresses.leave("1.2.3.4")
    assert addresses.enter("1.2.3.4")


def test_a_64_of_ipv6_is_one_address() -> None:
    addresses = PerAddress(1, none)
    assert addresses.enter("2001:db8::1")
    assert not addresses.enter("2001:db8:0:0:ffff::2")
    assert addresses.enter("2001:db8:0:1::1")
    assert addresses.enter("fe80::1%eth0")
    assert not addresses.enter("fe80::2%eth0")


def test_unix_sockets_and_exempt_addresses_are_not_counted() -> None:
    addresses = PerAddress(1, lambda host: host == "2001:db8::1")
    for _ in range(3):
        assert addresses.enter("")
        assert addresses.enter("2001:db8::1")
    assert addresses.enter("2001:db8::2")
    addresses.leave("2001:db8::1")
    addresses.leave("")
    assert not addresses.enter("2001:db8::2")


@given(st.lists(st.tuples(st.sampled_from(["1.1.1.1", "2.2.2.2", "::1", ""]), st.booleans())))
def test_nobody_has_more_than_the_limit_and_nothing_is_left(acts: list[tuple[str, bool]]) -> None:
    addresses = PerAddress(2, none)
    held: dict[str, int] = {}
    for host, enters in acts:
        if enters:
            assert addresses.enter(host) == (not host or held.get(host, 0) < 2)
            held[host] = held.get(host, 0) + 1 if not host else min(2, held.get(host, 0) + 1)
        elif held.get(host):
            addresses.leave(host)
            held[host] -= 1
    for host, count in held.items():
        for _ in range(count):
            addresses.leave(host)
    assert not addresses._counts
