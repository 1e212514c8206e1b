"""Which addresses of a name are left out, over all sequences of their checks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lb.health.address_watch import AddressWatch

A, B, C = "192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"
BAD = "status 500"


def test_as_many_checks_decide_as_of_a_server() -> None:
    watch = AddressWatch(())
    outcomes = [BAD, BAD, "", BAD, BAD, BAD, "", BAD, "", ""]
    found = [watch.observe({A: outcome, B: ""}, rise=2, fall=3) for outcome in outcomes]
    assert found == [[], [], [], [], [], [A], [A], [A], [A], []]


def test_if_all_fail_none_is_left_out() -> None:
    watch = AddressWatch(())
    assert watch.observe({A: BAD, B: ""}, rise=1, fall=1) == [A]
    assert watch.observe({A: BAD, B: BAD}, rise=1, fall=1) == []
    assert watch.observe({A: BAD, B: ""}, rise=1, fall=1) == [A]


def test_it_begins_with_what_is_known() -> None:
    watch = AddressWatch([A])
    assert watch.observe({A: "", B: ""}, rise=2, fall=3) == [A]
    assert watch.observe({A: "", B: ""}, rise=2, fall=3) == []


def test_an_address_that_the_name_no_longer_has_is_forgotten() -> None:
    watch = AddressWatch([A])
    assert watch.observe({B: "", C: ""}, rise=2, fall=3) == []
    assert watch.observe({A: "", B: ""}, rise=2, fall=3) == []


@given(st.lists(st.dictionaries(st.sampled_from([A, B, C]), st.sampled_from(["", BAD]))), st.integers(1, 3))
def test_one_stays_in_use_and_who_passed_for_long_is_in_use(
    checks: list[dict[str, str]], needed: int
) -> None:
    watch = AddressWatch(())
    for index, check in enumerate(checks):
        left_out = watch.observe(check, rise=needed, fall=needed)
        assert set(left_out) < set(check) or not left_out
        last = checks[max(0, index - needed + 1) : index + 1]
        for address in left_out:
            assert any(one.get(address) != "" for one in last) or len(last) < needed
