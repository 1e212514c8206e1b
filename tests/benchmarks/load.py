"""Sends a workload with wrk and returns what it counted."""

from __future__ import annotations

import json
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.workloads import Workload

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk, as it saw it."""

    requests: int
    seconds: float
    received_bytes: int
    p50_seconds: float
    p99_seconds: float
    worst_seconds: float
    cpu_seconds: float  # of wrk itself, in steps of some milliseconds
    errors: dict[str, int]  # kind → count, of those that happened; "status" is an answer of 400 or more


def send(workload: Workload, port: int, seconds: int, core: int) -> Load:
    """Run wrk with one thread on `core` against a port of this host."""
    headers = [argument for header in workload.headers for argument in ("-H", header)]
    command = ["taskset", "-c", str(core), "wrk", "-t", "1", "-c", str(workload.connections)]
    command += [
        "-d",
        f"{seconds}s",
        "-s",
        str(_SCRIPT),
        *headers,
        f"http://127.0.0.1:{port}{workload.path}",
    ]
    command += ["--", workload.method, str(workload.sent_bytes)]
    before = _cpu_of_children()
    result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    if result.returncode:
        raise BenchmarkError(f"wrk failed: {result.stderr or result.stdout}")
    counted = json.loads(result.stdout.strip().splitlines()[-1])
    return Load(
        requests=counted["requests"],
        seconds=counted["microseconds"] / 1e6,
        received_bytes=counted["bytes"],
        p50_seconds=counted["p50_microseconds"] / 1e6,
        p99_seconds=counted["p99_microseconds"] / 1e6,
        worst_seconds=counted["worst_microseconds"] / 1e6,
        cpu_seconds=_cpu_of_children() - before,
        errors={kind: count for kind, count in counted["errors"].items() if count},
    )


def _cpu_of_children() -> float:
    """Return what those of our children that have ended used: in `send` this changes by one wrk."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
