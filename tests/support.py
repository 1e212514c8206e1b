"""Means that tests share: waiting on a condition, and a real store to start and stop."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import redis

from lb.store import embedded

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, seconds: float = 40.0, what: str = "") -> T:
    """Return the first true result of `condition`, asked again and again; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or condition}"
        time.sleep(0.005)
    return result


def free_port() -> int:
    """Return a TCP port that is free now, and that nobody gets who asks for any: it is below those."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, lowest) if lowest > 11_000 else 0
        with suppress(OSError), socket.create_server(("", port)) as free:
            return int(free.getsockname()[1])


class Valkey:
    """A real store: started on entry, stopped on exit; may be killed and started again in between."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.url = embedded.socket_url(data_dir)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Valkey:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        log = (self.data_dir / "store.log").open("ab")
        with log:
            self._process = subprocess.Popen(embedded.command(self.data_dir), stdout=log, stderr=log)
        eventually(self._answers, seconds=10, what="an answer from the store")

    def stop(self) -> None:
        """Let it write what it has, and end."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self.data_dir / "store.log").read_text()
        with redis.Redis.from_url(self.url) as connection:
            try:
                return bool(connection.ping())
            except redis.ConnectionError:
                return False
