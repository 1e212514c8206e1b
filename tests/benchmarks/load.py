"""Sends a workload with wrk and returns what it counted."""

from __future__ import annotations

import json
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
    errors: dict[str, int]  # kind → count, of those that happened; "status" is an answer of 400 or more


def send(workload: Workload, port: int, seconds: float, core: int) -> Load:
    """Run wrk with one thread on `core` against a port of this host."""
    headers = [argument for header in workload.headers for argument in ("-H", header)]
    command = ["taskset", "-c", str(core), "wrk", "-t", "1", "-c", str(workload.connections)]
    command += [
        "-d",
        f"{seconds:g}s",
        "-s",
        str(_SCRIPT),
        *headers,
        f"http://127.0.0.1:{port}{workload.path}",
    ]
    command += ["--", workload.method, str(workload.sent_bytes)]
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
        errors={kind: count for kind, count in counted["errors"].items() if count},
    )
