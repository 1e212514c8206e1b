"""The real thing for tests: `lb run` with all its processes on free ports, in a data directory of its own."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from lb.store.client import open_pool
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.support import eventually

READY = re.compile(r"lb: listening on (\S+) .* admin on (http://\S+)")
_READY_SECONDS = 90.0
_STOP_SECONDS = 60.0


class Balancer:
    """`lb run` from entry to exit; on exit it must end with status 0 and leave no process behind.

    `config` is what config.json holds; ports that it does not name are free ones. The extra `arguments` and
    `environment` go to the command.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        workers: int = 1,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: str = "run",
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lb-"))  # short: a socket's path must be
        self.config_path = self.home / "config.json"
        free = {"port": "127.0.0.1:0", "admin": {"listen": "127.0.0.1:0"}, "workers": workers}
        self.config_path.write_text(json.dumps({**free, **config}))
        self.store_url: str = config.get("redis") or f"unix://{self.store_socket}"
        self.url = self.admin_url = ""  # known once it is ready
        self._log_path = self.home / "log"
        self._command = [sys.executable, "-m", "lb", command, *arguments]
        self._mark = f"BALANCER_MARK={secrets.token_hex(8)}"
        name, value = self._mark.split("=")
        self._environment = {
            **os.environ,
            "LB_DATA_DIR": str(self.data_dir),
            name: value,
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def run_with(self, *prefix: str) -> None:
        """Have another program execute the command: `prefix` and then the command."""
        self._command = [*prefix, *self._command]

    def __enter__(self) -> Balancer:
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self.process.returncode is None:
                status = self.stop()
                assert status == 0, f"{' '.join(self._command)} ended with {status}:\n{self.log}"
            if kind is None:
                assert self.leftovers() == [], self.log
                assert "Traceback" not in self.log, self.log
        finally:
            self._discard()

    @property
    def data_dir(self) -> Path:
        return self.home / ".lb"

    @property
    def store_socket(self) -> Path:
        return self.data_dir / "store.sock"

    @property
    def log(self) -> str:
        """All that its processes have written so far."""
        return self._log_path.read_text()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor."""
        assert self._process, "not started"
        return self._process

    def refusal(self) -> str:
        """Start it, expect it to end by itself with status 1 and nothing left; return what it said."""
        try:
            self.start()
            assert self.wait() == 1, self.log
            assert self.leftovers() == [], self.log
            return self.log
        finally:
            self._discard()

    def start(self) -> None:
        """Start it, and wait for nothing."""
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_ready(self) -> None:
        """Wait until it says that it is ready."""
        self.url, self.admin_url = eventually(self._ready, seconds=_READY_SECONDS, what="the ready line")

    def pool(self) -> BackendPool:
        """Open its pool."""
        return open_pool(self.store_url, Keys())

    def admin(self, *words: str) -> str:
        """Run lb-admin on its pool; return what that said."""
        program = Path(sys.executable).with_name("lb-admin")
        command = [str(program), *words, "--redis", self.store_url]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def wait_log(self, pattern: str, seconds: float = 40.0) -> re.Match[str]:
        """Wait until the pattern stands in the log."""
        return eventually(lambda: re.search(pattern, self.log), seconds=seconds, what=f"{pattern} in the log")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended by itself, and return the exit status."""
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.log}") from None

    def pids(self, role: str = "") -> list[int]:
        """Process ids of the supervisor's children, of all roles or of one ("worker", "store", …)."""
        children = [pid for pid in _all_pids() if _parent(pid) == self.process.pid]
        return [pid for pid in children if not role or _role(pid) == role]

    def worker_pids(self) -> list[int]:
        return self.pids("worker")

    def leftovers(self) -> list[int]:
        """Living processes that came from this balancer, whoever their parent is now."""
        return [pid for pid in _all_pids() if self._is_ours(pid)]

    def _ready(self) -> tuple[str, str] | None:
        if match := READY.search(self.log):
            return match[1], match[2]
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
        return None

    def _is_ours(self, pid: int) -> bool:
        # the store's program overwrites its environment with its title, which names the socket
        return self._mark.encode() in _proc(pid, "environ").split(b"\0") or str(
            self.store_socket
        ).encode() in _proc(pid, "cmdline")

    def _discard(self) -> None:
        for pid in self.leftovers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait()
        eventually(lambda: not self.leftovers(), seconds=_STOP_SECONDS, what="the end of all processes")
        shutil.rmtree(self.home)


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _alive(entry)]


def _alive(process: Path) -> bool:
    with suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _parent(pid: int) -> int:
    fields = _proc(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _role(pid: int) -> str:
    words = _proc(pid, "cmdline").decode().split("\0")
    if "valkey-server" in words[0]:
        return "store"
    return words[words.index("lb") + 1] if "lb" in words else ""


def _proc(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""
