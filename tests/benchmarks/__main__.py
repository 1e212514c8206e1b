"""`python -m tests.benchmarks`: measures balancers in turn and prints a Markdown table for each workload."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.benchmarks.measure import Measurement, Setting, measure, undisturbed
from tests.benchmarks.origin import running_origin
from tests.benchmarks.paired import order
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.report import as_json, disturbance, faults, machine, noise, table
from tests.benchmarks.subjects import REFERENCE, SUBJECTS, USUAL
from tests.benchmarks.workloads import WORKLOADS, Workload

_NEEDED = ("wrk", "nginx", "taskset")  # nginx is also the origin


@click.command()
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds; medians are shown."
)
@click.option("--seconds", default=8, show_default=True, type=click.IntRange(1), help="Length of each run.")
@click.option(
    "--warm-up", default=1, show_default=True, type=click.IntRange(0), help="Seconds before each run."
)
@click.option(
    "--repeats", default=3, show_default=True, type=click.IntRange(0), help="Of a disturbed run, at most."
)
@click.option(
    "--only", multiple=True, type=click.Choice(list(SUBJECTS)), help="Measure this one; repeatable."
)
@click.option(
    "--workload", multiple=True, default=["tiny"], type=click.Choice([*WORKLOADS, "all"]), help="Repeatable."
)
@click.option(
    "--cores", nargs=2, type=int, default=(0, 1), show_default=True, help="Subject's, and everyone else's."
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write every run there."
)
def main(
    rounds: int,
    seconds: int,
    warm_up: int,
    repeats: int,
    only: Sequence[str],
    workload: Sequence[str],
    cores: tuple[int, int],
    json_file: Path | None,
) -> None:
    """Measure lb beside nginx, HAProxy and Caddy; exit 1 if a run was invalid."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started is ended
    _require_machine(cores)
    setting = Setting(seconds, warm_up, *cores)
    names = _installed(dict.fromkeys(only or USUAL))
    chosen = list(WORKLOADS) if "all" in workload else list(dict.fromkeys(workload))
    measured, repeated = {}, 0
    try:
        for each in chosen:
            measured[each], more = _measure_in_turn(WORKLOADS[each], names, rounds, repeats, setting)
            repeated += more
            click.echo(f"{table(WORKLOADS[each], measured[each])}\n")
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from None
    every = [run for subjects in measured.values() for runs in subjects.values() for run in runs]
    figures = f"rounds: {rounds}, {seconds} s each, medians; {disturbance(every, repeated)}"
    click.echo(f"{machine()}; {figures}.")
    if json_file:
        json_file.write_text(json.dumps(as_json(measured, {"rounds": rounds, **asdict(setting)}), indent=1))
    if faults(every):
        sys.exit(1)


def _measure_in_turn(
    workload: Workload, names: Sequence[str], rounds: int, repeats: int, setting: Setting
) -> tuple[dict[str, list[Measurement]], int]:
    measured: dict[str, list[Measurement]] = {name: [] for name in names}
    repeated = 0
    with TemporaryDirectory(prefix="lb-benchmark-origin-") as directory:
        with running_origin(Path(directory), setting.load_core) as origin:
            for number in range(1, rounds + 1):
                for name in order(names, number - 1):
                    attempt = partial(measure, SUBJECTS[name], origin, workload, setting)
                    measurement, more = undisturbed(attempt, repeats)
                    measured[name].append(measurement)
                    repeated += more
                    click.echo(_progress(workload, number, name, measurement), err=True)
    for warning in noise(measured):
        click.echo(f"warning: {warning}", err=True)
    return measured, repeated


def _progress(workload: Workload, number: int, name: str, measurement: Measurement) -> str:
    rate = measurement.load.requests / measurement.load.seconds
    return ", ".join(
        [f"{workload.name}, round {number}, {name}: {rate:,.0f} requests/s", *measurement.faults]
    )


def _installed(names: Collection[str]) -> list[str]:
    for name in names:
        if not SUBJECTS[name].installed:
            click.echo(f"{SUBJECTS[name].title} is not installed and is left out", err=True)
    present = [name for name in names if SUBJECTS[name].installed]
    if REFERENCE not in present:
        click.echo(f"without {REFERENCE} there is nothing to compare with: no capacity, no ratio", err=True)
    return present


def _require_machine(cores: tuple[int, int]) -> None:
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        raise click.ClickException(
            f"not found: {', '.join(missing)}; lb/docs/benchmarks.md says what to install"
        )
    usable = os.sched_getaffinity(0)
    if cores[0] == cores[1] or not usable >= set(cores):
        raise click.ClickException(
            f"--cores needs two different ones of {sorted(usable)}, not {cores[0]} {cores[1]}"
        )


if __name__ == "__main__":
    main()
