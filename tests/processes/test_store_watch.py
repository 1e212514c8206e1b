from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.processes.child import Child, Role
from lb.processes.store_watch import LOOK_SECONDS, StoreWatch


class Store(Child):
    """Its process is only said to run."""

    def __init__(self) -> None:
        super().__init__(Role("store", beats=False))
        self.restarts: list[float] = []
        self.number = 7

    @property
    def pid(self) -> int:
        return self.number

    @property
    def running(self) -> bool:
        return self.number > 0

    def restart(self, now: float) -> None:
        self.restarts.append(now)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        yield tmp_path / "s"


def test_a_store_whose_socket_was_deleted_is_replaced_once(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = StoreWatch(store, path)
    watch.look(10.0)
    path.unlink()
    for now in range(11, 20):
        watch.look(float(now))
    assert store.restarts == [10.0 + LOOK_SECONDS]
    assert [record.message for record in caplog.records] == [
        f"{path} was deleted, so nobody reaches store 7: starting another"
    ]
    assert caplog.records[0].levelno == logging.ERROR


def test_a_store_that_has_not_made_its_socket_yet_is_given_the_time(store: Store, path: Path) -> None:
    watch = StoreWatch(store, path)
    watch.look(10.0)
    path.unlink()
    store.number = 8  # started anew
    watch.look(20.0)
    store.number = 0  # ended
    watch.look(30.0)
    assert store.restarts == []


def test_a_directory_that_may_not_be_searched_is_no_reason_to_do_anything(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_socket", denied)
    watch = StoreWatch(store, path)
    for now in range(10, 20):
        watch.look(float(now))
    assert store.restarts == []


def test_it_looks_no_more_often_than_it_must(store: Store, path: Path) -> None:
    watch = StoreWatch(store, path)
    assert watch.deadline() == 0.0
    watch.look(10.0)
    assert watch.deadline() == 10.0 + LOOK_SECONDS
    path.unlink()
    watch.look(10.0 + LOOK_SECONDS - 0.1)
    assert store.restarts == []
