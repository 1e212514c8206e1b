"""One measurement: a fresh subject, a warm-up, one run of the workload, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.cpu import busy_seconds, cpu_seconds
from tests.benchmarks.load import Load, send
from tests.benchmarks.origin import Origin
from tests.benchmarks.pace import Pace
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.subjects import RunningSubject, Subject
from tests.benchmarks.workloads import Workload

#: A run is disturbed if something else had more than this share of one of the two cores, …
TAKEN = 0.05
#: … or if one of them was so much slower, before or after, than it can be.
SLOWED = 0.15
_pace = Pace()


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for every measurement."""

    seconds: int  # wrk takes whole ones
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
    load_taken: float  # and the core of wrk, the origin and the store: it lowers the rate, not the CPU
    slowed: float  # how much slower than it can be one of the cores was: it makes all dearer

    @property
    def faults(self) -> list[str]:
        """What makes the figures invalid."""
        faults = [f"{count} {kind} errors" for kind, count in self.load.errors.items()]
        if not self.load.requests:
            faults.append("no request completed")
        return faults

    @property
    def disturbance(self) -> float:
        """How far from undisturbed it was, as a multiple of what is tolerated."""
        return max(self.taken / TAKEN, self.load_taken / TAKEN, self.slowed / SLOWED)


class CoreWatch:
    """How much of a core others than the processes that belong there take, from now on."""

    def __init__(self, core: int, pids: Iterable[int]) -> None:
        self._core, self._pids = core, list(pids)
        self._began, self._busy = time.monotonic(), busy_seconds(core)
        self._used = cpu_seconds(self._pids)

    @property
    def used_seconds(self) -> float:
        """Processor time of the processes that belong there."""
        return cpu_seconds(self._pids) - self._used

    def taken(self, ended_seconds: float = 0.0) -> float:
        """Return the others' share; `ended_seconds` were used by one that belonged there and has ended."""
        busy = busy_seconds(self._core) - self._busy
        return max(0.0, busy - self.used_seconds - ended_seconds) / (time.monotonic() - self._began)


def measure(subject: Subject, origin: Origin, workload: Workload, setting: Setting) -> Measurement:
    """Run the workload through a fresh start of the subject; raise BenchmarkError if that is not what ran."""
    with TemporaryDirectory(prefix="lb-benchmark-") as directory:
        with subject.running(origin, Path(directory), setting.subject_core, setting.load_core) as running:
            origin.require_answers(running.port, workload, subject.title)
            if setting.warm_up_seconds:
                send(workload, running.port, setting.warm_up_seconds, setting.load_core)
            return run(running, origin, workload, setting)


def run(subject: RunningSubject, origin: Origin, workload: Workload, setting: Setting) -> Measurement:
    """Run the workload once through a subject that runs already."""
    pids, store_pids = subject.pids, [subject.store_pid] if subject.store_pid else []
    slowed = _pace.slowed(setting.subject_core, setting.load_core)
    load_watch = CoreWatch(setting.load_core, [*origin.pids, *store_pids])
    watch, store_before = CoreWatch(setting.subject_core, pids), cpu_seconds(store_pids)
    load = send(workload, subject.port, setting.seconds, setting.load_core)
    if subject.pids != pids:
        raise BenchmarkError(
            "processes of the subject ended or came during the run, so its CPU time is unknown"
        )
    taken, load_taken = watch.taken(), load_watch.taken(load.cpu_seconds)
    return Measurement(
        load=load,
        cpu_seconds=watch.used_seconds,
        store_cpu_seconds=cpu_seconds(store_pids) - store_before if store_pids else None,
        taken=taken,
        load_taken=load_taken,
        slowed=max(slowed, _pace.slowed(setting.subject_core, setting.load_core)),
    )


def undisturbed(attempt: Callable[[], Measurement], repeats: int) -> tuple[Measurement, int]:
    """Measure again while something else took a core, so often at most; keep the quietest, count the others.

    One with faults is kept whatever else ran: no error is hidden.
    """
    tries: list[Measurement] = []
    while len(tries) <= repeats:
        tries.append(attempt())
        if tries[-1].faults:
            return tries[-1], len(tries) - 1
        if tries[-1].disturbance <= 1:
            break
    return min(tries, key=lambda one: one.disturbance), len(tries) - 1
