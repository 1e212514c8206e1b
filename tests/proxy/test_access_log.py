"""The access log of a worker: when lines are written, and what becomes of those that cannot be."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lb import limited_log
from lb.errors import ConfigError
from lb.proxy import access_log
from lb.proxy.access_lines import Lines, Noted
from lb.proxy.access_log import BATCH_BYTES, AccessLog
from lb.proxy.additions import Additions
from lb.proxy.client import Client
from lb.proxy.headers import HeaderSettings
from lb.proxy.http1 import HeadParser, unreadable
from lb.proxy.line_file import HELD_BYTES
from lb.proxy.stream import Stream
from tests.proxy.rig import until

Make = Callable[..., AccessLog]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[AccessLog] = []

    def one(path: Path = tmp_path / "log") -> AccessLog:
        made.append(AccessLog(str(path), "combined"))
        made[-1]._format = Targets()
        return made[-1]

    yield one
    for log in made:
        log._timer.close()


class Targets(Lines):
    """Lines that are no more than their requests' targets."""

    def __init__(self) -> None:
        pass

    def lines(self, done: Iterable[Noted]) -> bytes:
        return b"".join(noted[0].target + b"\n" for noted in done)


def note(log: AccessLog, name: str, times: int = 1) -> None:
    stream = SimpleNamespace(sent=0, on_parked_readable=None)
    client = Client(cast("Stream", stream), "", Additions(HeaderSettings()), HeadParser(100), trusted=False)
    for _ in range(times):
        log.note(client, unreadable(name.encode()))


def lines(path: Path) -> int:
    return path.read_text().count("\n")


def test_a_batch_is_written_when_it_is_full(make: Make, tmp_path: Path) -> None:
    log, batch = make(), BATCH_BYTES // 64
    note(log, "a" * 63, batch - 1)
    assert lines(tmp_path / "log") == 0
    note(log, "a" * 63, batch)
    assert lines(tmp_path / "log") == batch
    log.close()
    assert lines(tmp_path / "log") == 2 * batch - 1


def test_less_than_a_batch_is_written_within_a_second(make: Make, tmp_path: Path) -> None:
    log = make()
    log.start()
    note(log, "a")
    until(lambda: lines(tmp_path / "log") == 1, seconds=5)
    assert access_log.FLUSH_SECONDS < 1
    log.close()


def test_reopening_leaves_what_came_before_in_the_old_file(make: Make, tmp_path: Path) -> None:
    log = make()
    note(log, "before")
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.reopen()
    note(log, "after")
    log.close()
    assert "before" in (tmp_path / "log.1").read_text()
    assert "after" in (tmp_path / "log").read_text()
    assert lines(tmp_path / "log") + lines(tmp_path / "log.1") == 2


def test_a_reopening_that_fails_is_told_and_the_old_file_goes_on(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").mkdir()
    log = make(tmp_path / "logs" / "log")
    (tmp_path / "logs").rename(tmp_path / "moved")
    log.reopen()
    note(log, "on")
    log.close()
    assert lines(tmp_path / "moved" / "log") == 1
    assert (
        f"cannot reopen {tmp_path}/logs/log: No such file or directory; the old file goes on" in caplog.text
    )


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"accessLog\.path: cannot write to .*/no/log: No such file"):
        AccessLog(str(tmp_path / "no" / "log"), "combined")


def test_lost_lines_are_told_once_in_a_while_with_their_number(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = make(path)
    sent = 2 * HELD_BYTES // 1000
    note(log, "x" * 1000, sent)
    assert [entry.message.split(" (")[1] for entry in caplog.records] == [
        f"{path}: its reader does not keep up)"
    ]
    note(log, "x" * 100, sent)
    assert len(caplog.records) == 1, "within a minute"
    monkeypatch.setattr(access_log, "_FAREWELL_SECONDS", 0.05)
    log.close()
    limited_log.flush(at_end=True)
    assert len(caplog.records) == 2
    told = int(caplog.messages[-1].split(": ")[2].split(" ")[0])
    taken = 0
    while data := os.read(reader, 1 << 16):
        taken += data.count(b"\n")
    assert told + taken == 2 * sent
    os.close(reader)


def test_at_the_end_a_reader_gets_a_moment(make: Make, tmp_path: Path) -> None:

    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = make(path)
    note(log, "x" * 1000, 200)
    os.set_blocking(reader, True)
    taken: list[bytes] = []

    def read() -> None:
        with os.fdopen(reader, "rb") as pipe:
            taken.append(pipe.read())

    thread = threading.Thread(target=read)
    thread.start()
    log.close()
    thread.join()
    assert taken[0].count(b"\n") == 200
