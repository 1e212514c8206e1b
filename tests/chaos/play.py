"""Plays one schedule from the first to the last step, and returns what was violated."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.chaos import schedule, verdict
from tests.chaos.acts import Acts
from tests.chaos.subject import Subject, running
from tests.chaos.traffic import Traffic
from tests.chaos.watch import Watch
from tests.support import eventually

_PICKS = 120  # at least so many are counted in each calm


@dataclass
class Report:
    """What came of a schedule."""

    seed: int
    requests: int = 0
    longest_seconds: float = 0.0  # of a request to a worker that did not stand still
    calms: int = 0  # with picks that were counted
    reaped: list[float] = field(default_factory=list)
    took_over: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        reaped, took_over = (f"{max(times, default=0):.2f} s" for times in (self.reaped, self.took_over))
        return (
            f"seed {self.seed}: {self.requests} requests, the longest {self.longest_seconds * 1000:.0f} ms; "
            f"{len(self.reaped)} dead workers taken back within {reaped}, {len(self.took_over)} take-overs "
            f"within {took_over}, {self.calms} exact windows, {len(self.violations)} violations"
        )


def play(
    seed: int, seconds: float, *, workers: int, hosts: int, clients: int, tell: Callable[[str], None]
) -> Report:
    """Play the schedule of a seed; tell each step."""
    report = Report(seed)
    try:
        with running(workers, hosts) as subject:
            _Player(subject, report, tell, clients).play(schedule.make(seed, seconds))
    except AssertionError as error:
        report.violations.append(str(error))
    return report


class _Player:
    def __init__(self, subject: Subject, report: Report, tell: Callable[[str], None], clients: int) -> None:
        self._subject = subject
        self._report = report
        self._tell = tell
        self._watch = Watch(subject)
        self._acts = Acts(subject, self._watch)
        self._traffic = Traffic([host.balancer.url for host in subject.hosts], clients)
        self._began = time.monotonic()

    def play(self, steps: list[schedule.Step]) -> None:
        self._acts.wait_settled()
        self._watch.start()
        self._traffic.start()
        try:
            for step in steps:
                self._wait(step.pause_seconds)
                if step.act == schedule.CALM:
                    self._calm()
                else:
                    self._say(f"{step.act}: {self._acts.do(step)}")
        finally:
            with suppress(AssertionError):  # one that hangs is told where it was waited for
                self._acts.mend_all()
                self._traffic.stop()
            self._watch.stop()
            self._judge()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(max(0.0, min(left, self._acts.mend_due())))

    def _calm(self) -> None:
        """Mend everything; then nothing may be counted, lost, or picked out of turn."""
        self._acts.mend_all()
        self._acts.mend_all()  # a host waits for the store
        self._acts.wait_settled()
        self._traffic.pause()
        eventually(lambda: not self._counted(), what=f"counts of zero: {self._acts.state()}")
        violations = [*verdict.pool_differs(self._acts)]
        if not violations:
            self._acts.choose("round-robin")
            violations += self._count_picks()
        self._tell_violations(violations)
        self._traffic.resume()

    def _counted(self) -> bool:
        pool = sum(status.connections for status in self._subject.pool.list())
        return bool(pool or sum(worker.connections for worker in self._subject.fleet.workers()))

    def _count_picks(self) -> list[str]:
        cycle = verdict.cycle_of(self._acts)
        version = self._subject.pool.version()
        burst = self._traffic.burst(len(cycle) * -(-_PICKS // len(cycle)))
        if self._subject.pool.version() != version:
            return []  # a server was found down: then nobody can say what is exact
        self._report.calms += 1
        self._say(f"calm, {len(burst)} picks in {len(cycle)} turns")
        return [*verdict.inexact(burst, self._acts)]

    def _judge(self) -> None:
        records, report = self._traffic.records, self._report
        report.requests = len(records)
        report.longest_seconds = max(verdict.waits(records, self._acts), default=0.0)
        report.reaped, report.took_over = self._watch.reaped, self._watch.took_over
        self._tell_violations(
            [
                *verdict.errors(records, self._acts),
                *verdict.misattributed(records, self._subject),
                *verdict.banned_picks(records, self._acts),
                *self._watch.violations,
                *(
                    f"a traceback: {log}"
                    for host in self._subject.hosts
                    for log in host.logs
                    if "Traceback" in log
                ),
            ]
        )

    def _tell_violations(self, violations: list[str]) -> None:
        for violation in violations:
            self._say(f"VIOLATION: {violation}")
        self._report.violations += violations

    def _say(self, text: str) -> None:
        self._tell(f"  {time.monotonic() - self._began:7.2f}  {text}")
