"""Durations, numbers and statuses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.config.values import (
    StatusRange,
    format_duration,
    format_threshold,
    nearest,
    one_of,
    parse_duration,
    parse_positive_duration,
    parse_threshold,
    shown,
    switch,
    whole_number,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2s", 2.0),
        ("500ms", 0.5),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1h1m1s1ms", 3661.001),
        ("1.5s", 1.5),
        ("0.1s", 0.1),
        ("0s", 0.0),
        (2000, 2.0),
        (0.5, 0.0005),
        ("2000", 2.0),
        ("8760h", 31_536_000.0),
        ("1d", 86_400.0),
        ("2d12h", 216_000.0),
        ("365d", 31_536_000.0),
    ],
)
def test_duration(written: object, seconds: float):
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "s",
        "2 s",
        "2S",
        "-2s",
        "2y",
        "s2",
        "2s3",
        "1.s",
        ".5s",
        "٢s",
        "inf",
        None,
        True,
        [],
        -1,
        1e30,
        float("nan"),
    ],
)
def test_bad_duration_names_value_and_forms(written: object):
    with pytest.raises(ValueError, match="500ms") as caught:
        parse_duration(written)
    assert shown(written) in str(caught.value)


def test_duration_beyond_a_year_is_a_slip():
    with pytest.raises(ValueError, match="at most a year"):
        parse_duration("8761h")


@pytest.mark.parametrize("written", ["off", "OFF", False])
def test_a_threshold_may_be_off(written: object):
    assert parse_threshold(written) is None
    assert parse_threshold(format_threshold(None)) is None
    assert parse_threshold("2d") == parse_threshold(format_threshold(172_800.0)) == 172_800.0


@pytest.mark.parametrize("written", [0, "0", "0s", None, True, "never", ""])
def test_a_threshold_that_is_none_says_what_it_may_be(written: object):
    with pytest.raises(ValueError, match='; "off" removes no server'):
        parse_threshold(written)


def test_zero_is_no_timeout():
    assert parse_positive_duration("1ms") == 0.001
    with pytest.raises(ValueError, match="longer than zero"):
        parse_positive_duration("0s")


@given(st.integers(min_value=0, max_value=365 * 24 * 3600 * 10**6))
def test_a_formatted_duration_parses_to_itself(microseconds: int):
    seconds = microseconds / 10**6
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(min_value=0, max_value=10**9))
def test_a_bare_number_is_milliseconds(number: int):
    assert parse_duration(number) == parse_duration(f"{number}ms") == number / 1000


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0s"), (90.0, "1m30s"), (3600.0, "1h"), (0.5, "500ms"), (1.5, "1.5s")]
)
def test_durations_are_written_for_people(seconds: float, text: str):
    assert format_duration(seconds) == text


@pytest.mark.parametrize("written", [1, 256, "7"])
def test_whole_number(written: object):
    assert whole_number(1, 256)(written) == int(str(written))


@pytest.mark.parametrize("written", [0, 257, "0", "1.0", 1.0, "x", "", "٣", True, None, [], "9" * 400])
def test_bad_whole_number_says_the_bounds(written: object):
    with pytest.raises(ValueError, match="expected a whole number, 1 to 256; got"):
        whole_number(1, 256)(written)


def test_a_number_without_upper_bound_still_fits_json():
    with pytest.raises(ValueError, match="0 or more"):
        whole_number(0)(2**60)


def test_one_of_suggests_the_nearest():
    parse = one_of(["HEAD", "GET"])
    assert parse("HEAD") == "HEAD"
    with pytest.raises(ValueError, match=r'expected one of HEAD, GET; got "head"; did you mean "HEAD"\?'):
        parse("head")
    with pytest.raises(ValueError, match=r"got 5\Z"):
        parse(5)


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("conect", ["connect", "idle"]) == "connect"
    assert nearest("zzz", ["connect", "idle"]) is None


def test_long_values_are_cut_in_messages():
    assert len(shown("x" * 1000)) == 80


@pytest.mark.parametrize(
    ("written", "first", "last"),
    [(200, 200, 200), ("404", 404, 404), ("2xx", 200, 299), ("5XX", 500, 599), ("200-399", 200, 399)],
)
def test_status_range(written: object, first: int, last: int):
    statuses = StatusRange.parse(written)
    assert statuses == StatusRange(first, last)
    assert first in statuses
    assert last in statuses
    assert first - 1 not in statuses
    assert last + 1 not in statuses
    assert StatusRange.parse(str(statuses)) == statuses


@pytest.mark.parametrize(
    "written", ["", "6xx", "99", 600, "200-", "2x", "300-200", "200-2xx", True, None, []]
)
def test_bad_status_range(written: object):
    with pytest.raises(ValueError, match="expected a"):
        StatusRange.parse(written)


@pytest.mark.parametrize("written", [True, "true", "On", "yes", "1"])
def test_switch(written: object):
    assert switch(written) is True
    assert switch({True: False, "true": "False", "On": "off", "yes": "NO", "1": "0"}[written]) is False


@pytest.mark.parametrize("written", [1, 0, None, "", "maybe", []])
def test_what_is_no_switch(written: object):
    with pytest.raises(ValueError, match="expected true or false; got "):
        switch(written)
