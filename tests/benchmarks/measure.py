"""One measurement: a fresh subject, a warm-up, one run of the workload, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.cpu import busy_seconds, cpu_seconds
from tests.benchmarks.load import Load, send
from tests.benchmarks.origin import Origin
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.subjects import RunningSubject, Subject
from tests.benchmarks.workloads import Workload


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for every measurement."""

    seconds: int
    warm_up_seconds: int
    subject_core: int
    load_core: int  # wrk, the origin and the store


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of the workload through one subject came to."""

    load: Load
    cpu_seconds: float  # of all of the subject's processes but its store
    store_cpu_seconds: float | None  # None if it has no store
    taken: float  # share of the run in which something else had the subject's core

    @property
    def faults(self) -> list[str]:
        """What makes the figures invalid."""
        faults = [f"{count} {kind} errors" for kind, count in self.load.errors.items()]
        if not self.load.requests:
            faults.append("no request completed")
        return faults


def measure(subject: Subject, origin: Origin, workload: Workload, setting: Setting) -> Measurement:
    """Run the workload through a fresh start of the subject; raise BenchmarkError if that is not what ran."""
    with TemporaryDirectory(prefix="lb-benchmark-") as directory:
        with subject.running(origin, Path(directory), setting.subject_core, setting.load_core) as running:
            origin.require_answers(running.port, workload, subject.title)
            if setting.warm_up_seconds:
                send(workload, running.port, setting.warm_up_seconds, setting.load_core)
            return _run(running, workload, setting)


def _run(subject: RunningSubject, workload: Workload, setting: Setting) -> Measurement:
    pids, store_pids = subject.pids, [subject.store_pid] if subject.store_pid else []
    started, busy_before = time.monotonic(), busy_seconds(setting.subject_core)
    before, store_before = cpu_seconds(pids), cpu_seconds(store_pids)
    load = send(workload, subject.port, setting.seconds, setting.load_core)
    if subject.pids != pids:
        raise BenchmarkError(
            "processes of the subject ended or came during the run, so its CPU time is unknown"
        )
    used, store_used = cpu_seconds(pids) - before, cpu_seconds(store_pids) - store_before
    busy = busy_seconds(setting.subject_core) - busy_before
    return Measurement(
        load=load,
        cpu_seconds=used,
        store_cpu_seconds=store_used if store_pids else None,
        taken=max(0.0, busy - used) / (time.monotonic() - started),
    )
