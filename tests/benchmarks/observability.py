"""`python -m tests.benchmarks.observability`: what the access log and the metrics cost.

All subjects are one worker on the same core; each idles while another is measured. Rounds are short and many,
and what is compared is measured within the same second or two: on a machine that others use too, the ratio of
two neighbours says more than two averages. After some rounds all start anew, as two processes of the same
program differ by up to 3 % for as long as they live, by where their memory lies.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import click

from tests.benchmarks.measure import Measurement, Setting, run, undisturbed
from tests.benchmarks.origin import Origin, running_origin
from tests.benchmarks.paired import Spread, order, ratios
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.report import disturbance, machine
from tests.benchmarks.subjects import Lb, RunningSubject
from tests.benchmarks.workloads import WORKLOADS, Workload

_LOG = "access.log"
_WARM_UP_SECONDS = 1
_LEAST_WITH_LOG = 0.95  # of the requests per second without
_MOST_OF_METRICS = 0.01  # of the CPU per request without


class Observed(Lb):
    """`lb` with an access log, or by another entry."""

    def __init__(self, name: str, title: str, log_format: str | None = None, module: str = "lb") -> None:
        super().__init__(name, title, "round-robin")
        self._log_format, self._module = log_format, module

    def config(self, port: int, servers: Sequence[int], directory: Path) -> str:
        settings = json.loads(super().config(port, servers, directory))
        if self._log_format:
            settings["accessLog"] = {"path": str(directory / _LOG), "format": self._log_format}
        return json.dumps(settings, indent=2)

    def command(self, config: Path) -> list[str]:
        return [self._module if word == "lb" else word for word in super().command(config)]


PLAIN, COMBINED, JSON, UNMETERED = (
    Observed("plain", "as it comes"),
    Observed("combined", "access log, combined", "combined"),
    Observed("json", "access log, JSON", "json"),
    Observed("unmetered", "without metrics", module="tests.benchmarks.unmetered"),
)
SUBJECTS = {subject.name: subject for subject in (PLAIN, COMBINED, JSON, UNMETERED)}


@click.command()
@click.option("--starts", default=10, show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of each start.")
@click.option("--seconds", default=1, show_default=True, type=click.IntRange(1), help="Of each run.")
@click.option("--connections", default=64, show_default=True, type=click.IntRange(1))
@click.option(
    "--repeats", default=3, show_default=True, type=click.IntRange(0), help="Of a disturbed run, at most."
)
@click.option(
    "--cores", nargs=2, type=int, default=(0, 1), show_default=True, help="lb's, and everyone else's."
)
def main(
    starts: int, rounds: int, seconds: int, connections: int, repeats: int, cores: tuple[int, int]
) -> None:
    """Print what they cost as a Markdown table; exit 1 if it is more than the bars allow."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    workload = replace(
        WORKLOADS["tiny"],
        title=f"tiny GET, {connections} keep-alive connections",
        connections=connections,
    )
    try:
        setting = Setting(seconds, _WARM_UP_SECONDS, *cores)
        measured, repeated = _measure(workload, starts, rounds, repeats, setting)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n".join(table(workload.title, measured)))
    every = [each for runs in measured.values() for each in runs]
    figures = f"rounds: {starts} times {rounds}, {seconds} s each, {disturbance(every, repeated)}"
    click.echo(f"\n{machine()}; {figures}; of plain's: median of the rounds (quartiles).")
    missed = misses(measured)
    for each in missed:
        click.echo(f"MISSED: {each}")
    sys.exit(bool(missed))


def table(title: str, measured: Mapping[str, Sequence[Measurement]]) -> Iterator[str]:
    """Write a line for each subject, compared with the plain one of the same round."""
    yield f"| {title} | CPU per request: least, median | of plain's | requests/s | of plain's |"
    yield "|---|---:|---:|---:|---:|"
    for name, runs in measured.items():
        cpus = [cpu_us(each) for each in runs]
        yield (
            f"| {SUBJECTS[name].title} | {min(cpus):.1f}, {median(cpus):.1f} µs "
            f"| {_shown(_cpu_ratio(measured, name, PLAIN.name))} "
            f"| {median(map(rate, runs)):,.0f} | {_shown(_rate_ratio(measured, name))} |"
        )


def misses(measured: Mapping[str, Sequence[Measurement]]) -> list[str]:
    """Return which bars are missed, by the medians."""
    missed = []
    for subject in (COMBINED, JSON):
        kept = _rate_ratio(measured, subject.name).median
        if kept < _LEAST_WITH_LOG:
            missed.append(f"{subject.title}: {kept:.1%} of plain's requests/s (bar: {_LEAST_WITH_LOG:.0%})")
    metrics = _cpu_ratio(measured, PLAIN.name, UNMETERED.name).median - 1
    if metrics > _MOST_OF_METRICS:
        missed.append(f"metrics: {metrics:+.1%} CPU per request (bar: {_MOST_OF_METRICS:.0%})")
    return missed


def cpu_us(measurement: Measurement) -> float:
    """Return the microseconds of processor time that a request took."""
    return 1e6 * measurement.cpu_seconds / measurement.load.requests


def rate(measurement: Measurement) -> float:
    """Return the requests per second."""
    return measurement.load.requests / measurement.load.seconds


def _cpu_ratio(measured: Mapping[str, Sequence[Measurement]], name: str, other: str) -> Spread:
    return ratios([cpu_us(each) for each in measured[name]], [cpu_us(each) for each in measured[other]])


def _rate_ratio(measured: Mapping[str, Sequence[Measurement]], name: str) -> Spread:
    return ratios([rate(each) for each in measured[name]], [rate(each) for each in measured[PLAIN.name]])


def _shown(share: Spread) -> str:
    return f"{share.median:.1%} ({share.low:.1%} to {share.high:.1%})"


def _measure(
    workload: Workload, starts: int, rounds: int, repeats: int, setting: Setting
) -> tuple[dict[str, list[Measurement]], int]:
    measured: dict[str, list[Measurement]] = {name: [] for name in SUBJECTS}
    repeated = 0
    for _ in range(starts):
        with _running(setting) as (origin, running):
            warm_up = replace(setting, seconds=setting.warm_up_seconds)
            for name in SUBJECTS:
                _run(running[name], origin, workload, warm_up)
            for number in range(rounds):
                for name in order(list(SUBJECTS), number):
                    attempt = partial(_run, running[name], origin, workload, setting)
                    measurement, more = undisturbed(attempt, repeats)
                    measured[name].append(measurement)
                    repeated += more
                line = ", ".join(f"{name} {cpu_us(runs[-1]):.1f} µs" for name, runs in measured.items())
                click.echo(line, err=True)
    return measured, repeated


def _run(
    subject: tuple[RunningSubject, Path], origin: Origin, workload: Workload, setting: Setting
) -> Measurement:
    running, directory = subject
    measurement = run(running, origin, workload, setting)
    if measurement.faults:
        raise BenchmarkError(", ".join(measurement.faults))
    _check_log(directory / _LOG, measurement)
    return measurement


def _check_log(log: Path, measurement: Measurement) -> None:
    """See that requests were logged, and empty the file: what is not on the disk yet need not get there."""
    if log.exists():
        if log.stat().st_size < 50 * measurement.load.requests:
            raise BenchmarkError("the access log does not hold all requests")
        os.truncate(log, 0)


@contextmanager
def _running(setting: Setting) -> Iterator[tuple[Origin, dict[str, tuple[RunningSubject, Path]]]]:
    """Start the origin and all subjects."""
    with ExitStack() as stack:

        def directory() -> Path:
            return Path(stack.enter_context(TemporaryDirectory(prefix="lb-benchmark-")))

        origin = stack.enter_context(running_origin(directory(), setting.load_core))
        running = {}
        for name, subject in SUBJECTS.items():
            own = directory()
            started = subject.running(origin, own, setting.subject_core, setting.load_core)
            running[name] = stack.enter_context(started), own
            origin.require_answers(running[name][0].port, workload=WORKLOADS["tiny"], who=subject.title)
        yield origin, running


if __name__ == "__main__":
    main()
