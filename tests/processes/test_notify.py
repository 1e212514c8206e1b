"""What systemd hears, with a socket in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.processes.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def heard(systemd: socket.socket) -> list[str]:
    return systemd.recv(4096).decode().split("\n")


def test_the_life_of_a_service(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    notifier.ready("4 workers")
    assert heard(systemd) == ["READY=1", "STATUS=4 workers"]
    notifier.reloading()
    reloading, moment = heard(systemd)
    assert reloading == "RELOADING=1"
    assert moment.removeprefix("MONOTONIC_USEC=").isdecimal()
    notifier.ready()
    assert heard(systemd) == ["READY=1"]
    notifier.stopping()
    assert heard(systemd) == ["STOPPING=1"]


def test_the_watchdog_hears_twice_within_its_patience(systemd: socket.socket) -> None:
    environ = {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), **environ})
    notifier.beat(100.0)
    assert heard(systemd) == ["WATCHDOG=1"]
    assert notifier.deadline() == 110.0
    notifier.beat(109.9)
    notifier.stopping()
    assert heard(systemd) == ["STOPPING=1"]
    notifier.beat(110.0)
    assert heard(systemd) == ["WATCHDOG=1"]


def test_the_watchdog_of_another_process_is_none_of_ours(systemd: socket.socket) -> None:
    environ = {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}
    assert Notifier({"NOTIFY_SOCKET": systemd.getsockname(), **environ}).deadline() is None


def test_an_abstract_socket_is_heard_on() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0lb-test-{os.getpid()}")
        systemd.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@lb-test-{os.getpid()}"}).ready()
        assert heard(systemd) == ["READY=1"]


def test_without_systemd_nothing_is_told(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody")}):
        notifier = Notifier(environ)
        notifier.ready()
        notifier.beat(1.0)
        assert notifier.deadline() is None
