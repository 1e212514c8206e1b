from __future__ import annotations

import itertools
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.limited_log import WINDOW_SECONDS, LimitedLog


class Lines(logging.Handler):
    """What a logger has said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.traces = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        self.traces += record.exc_info is not None


class Case:
    def __init__(self) -> None:
        self.now = 1000.0
        logger = logging.getLogger("case")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self.lines = Lines()
        logger.handlers = [self.lines]
        self.log = LimitedLog("case", lambda: self.now)

    def take(self) -> list[str]:
        said, self.lines.said = self.lines.said, []
        return said


@pytest.fixture
def case() -> Iterator[Case]:
    case = Case()
    yield case
    case.log.forget()


def test_the_first_is_logged_at_once_and_the_others_are_counted(case: Case) -> None:
    for number in range(600):
        case.log.warning("cannot accept: %s", number)
        case.now += 0.125
    assert case.take() == ["cannot accept: 0", "cannot accept: 480 (480 more in 60 s)"]
    case.now += 60
    case.log.flush()
    assert case.take() == ["cannot accept: 599 (119 more in 75 s)"]


def test_the_next_occurrence_after_a_minute_brings_the_count(case: Case) -> None:
    case.log.warning("odd")
    case.log.warning("odd")
    case.now += 75
    case.log.warning("odd")
    assert case.take() == ["odd", "odd (2 more in 75 s)"]


def test_it_goes_on_with_one_line_a_minute(case: Case) -> None:
    for _ in range(28_800):
        case.log.warning("odd")
        case.log.flush()
        case.now += 0.125
    said = case.take()
    assert len(said) == 60
    assert sum(int(re.findall(r"\((\d+) more", line)[0]) for line in said[1:]) + 1 > 28_000


def test_one_that_comes_rarely_is_logged_each_time(case: Case) -> None:
    for _ in range(3):
        case.log.warning("odd")
        case.now += WINDOW_SECONDS
    assert case.take() == ["odd"] * 3


def test_kinds_are_counted_apart(case: Case) -> None:
    for server in ("a", "b", "a"):
        case.log.warning("%s is down", server, of=server)
        case.log.info("%s: all is well", server)
    assert case.take() == ["a is down", "a: all is well", "b is down"]
    case.log.flush(at_end=True)
    assert case.take() == ["a is down (1 more in 0 s)", "a: all is well (2 more in 0 s)"]


def test_the_end_brings_what_was_held_back_once(case: Case) -> None:
    case.log.error("odd")
    case.log.error("odd")
    case.log.flush(at_end=True)
    case.log.flush(at_end=True)
    assert case.take() == ["odd", "odd (1 more in 0 s)"]


def test_some_lines_may_come_in_a_row_before_they_are_held_back(case: Case) -> None:
    for number in range(5):
        case.log.info("%d", number, burst=3)
    assert case.take() == ["0", "1", "2"]


def test_an_exception_is_known_by_its_place(case: Case) -> None:
    for number in range(4):
        try:
            raise ValueError(number) if number % 2 else KeyError(number)
        except (ValueError, KeyError):
            case.log.exception("a request from %s failed", number)
    assert case.take() == ["a request from 0 failed", "a request from 1 failed"]
    assert case.lines.traces == 2


def test_no_number_of_kinds_takes_all_memory(case: Case) -> None:
    for number in range(5000):
        case.log.warning("odd: %d", number, of=number)
    assert len(case.take()) <= 1025
    case.now += WINDOW_SECONDS
    case.log.flush()
    assert len(case.take()) == 1  # the count of those that had no room
    case.now += WINDOW_SECONDS
    case.log.flush()
    case.log.warning("odd: %d", 0, of=0)
    assert case.take() == ["odd: 0"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 90), st.booleans())))
def test_every_occurrence_is_logged_or_counted(occurrences: list[tuple[str, int, bool]]) -> None:
    case = Case()
    times: dict[str, list[float]] = {kind: [] for kind in "abc"}
    counted = dict.fromkeys("abc", 0)

    def read() -> None:
        for line in case.take():
            times[line[0]].append(case.now)
            counted[line[0]] += int((re.findall(r"\((\d+) more", line) or ["1"])[0])

    for kind, pause, flushes in occurrences:
        case.log.warning("%s is odd", kind, of=kind)
        read()
        case.now += pause
        if flushes:
            case.log.flush()
            read()
    for lines in times.values():
        assert all(later - earlier >= WINDOW_SECONDS for earlier, later in itertools.pairwise(lines))
    case.log.flush(at_end=True)
    read()
    assert counted == {kind: sum(kind == other for other, _, _ in occurrences) for kind in "abc"}


def test_the_end_of_a_process_brings_the_counts() -> None:
    program = (
        "import logging; from lb.processes import log; log.configure('worker 7')\n"
        "from lb.limited_log import LimitedLog; limited = LimitedLog('lb.proxy')\n"
        "for _ in range(3): limited.warning('odd')\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = said.stderr.splitlines()
    assert first.endswith(" lb[worker 7] odd")
    assert second.endswith(" lb[worker 7] odd (2 more in 0 s)")
