"""Starts, pins, watches and ends the processes of a benchmark (Linux: reads /proc)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_LISTEN = "0A"  # state of a listening socket in /proc/net/tcp
_STOP_SECONDS = 10.0


class BenchmarkError(Exception):
    """Something keeps a figure from being true; the message says what."""


def free_ports(count: int) -> list[int]:
    """Return TCP ports of the loopback interface that are free now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def running(
    command: Sequence[str], core: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command on one core, its output in `log`; end it and all that it started on leaving."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                "PATH": os.environ["PATH"],
                **(environment or {}),
            },  # nothing else may change what is measured
            start_new_session=True,  # ctrl-c reaches us alone, and we end it
        )
    try:
        yield process
    finally:
        _stop(process)


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 20
) -> None:
    """Wait for `ready`; raise BenchmarkError with the end of the log if the process ends or time is up."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            state = "is not ready" if process.returncode is None else f"ended with {process.returncode}"
            raise BenchmarkError(
                f"what was started {state}: {process.args!r}; its output ends:\n{log.read_text()[-2000:]}"
            )
        time.sleep(0.02)


def tree(root: int) -> list[int]:
    """Return the process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found


def executable(pid: int) -> str:
    """Return the file name of the program that a process runs; empty if it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/exe").readlink().name
    return ""


def pin(pid: int, core: int) -> None:
    """Move a process, all of its threads, to one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def require_listener(root: int, ports: Sequence[int]) -> None:
    """Raise BenchmarkError unless that process, or what it started, alone listens on every port."""
    ours = {link for pid in tree(root) for link in _open_files(pid)}
    for port in ports:
        listening = _listening_sockets(port)
        if not listening or not listening <= ours:
            raise BenchmarkError(f"port {port} does not belong to the process that was started, {root}")


def _listening_sockets(port: int) -> set[str]:
    rows = [
        line.split()
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
    ]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == _LISTEN and row[1].endswith(f":{port:04X}")}


def _open_files(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(entry.readlink())


def _stop(process: subprocess.Popen[bytes]) -> None:
    started = {pid: _start_tick(pid) for pid in tree(process.pid)}
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    for pid, tick in started.items():
        if tick and _start_tick(pid) == tick:  # still the same process, not a later one with its number
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()


def _start_tick(pid: int) -> str | None:
    with suppress(FileNotFoundError, ProcessLookupError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else fields[18]
    return None
