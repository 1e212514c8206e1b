"""Single values of the store: what lb writes is read as it is, everything else as missing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.model import Admin
from lb.store import values


@given(st.integers(0, 2**53 - 1))
def test_whole_numbers_are_read(number: int) -> None:
    assert values.whole(str(number), -1) == number


@pytest.mark.parametrize(
    "text", [None, "", "abc", "-1", "1.5", "1e3", " 1", "1_0", "007", "٣", str(2**53), "9" * 17, "9" * 10_000]
)
def test_other_numbers_are_missing(text: object) -> None:
    assert values.whole(text) == 0
    assert values.whole(text, 7) == 7


@pytest.mark.parametrize("text", [None, "", "abc", "nan", "inf", "-1", "1e300"])
def test_what_is_no_moment_is_none(text: object) -> None:
    assert values.moment(text) is None


@given(st.floats(0, 2**52))
def test_moments_are_read(number: float) -> None:
    assert values.moment(repr(number)) == number
    assert values.moment(number) == number


def test_a_word_is_one_of_its_kind() -> None:
    assert values.word(Admin, "drain", Admin.READY) is Admin.DRAIN
    assert values.word(Admin, "sideways", Admin.READY) is Admin.READY


@given(st.text())
def test_whatever_is_printed_drives_no_terminal(text: str) -> None:
    assert values.printable(text).isprintable()


@given(st.text().filter(str.isprintable))
def test_what_is_printable_stays(text: str) -> None:
    assert values.printable(text) == text


def test_a_column_reads_pairs() -> None:
    assert values.column(["a", "1", "b", "2"]) == {"a": "1", "b": "2"}
    assert math.isfinite(values.moment("1.5") or math.nan)
