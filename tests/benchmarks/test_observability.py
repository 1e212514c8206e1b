from __future__ import annotations

import json
from pathlib import Path

from lb.config import load
from lb.metrics.meters import Meters
from tests.benchmarks.examples import measurement
from tests.benchmarks.measure import Measurement
from tests.benchmarks.observability import COMBINED, JSON, PLAIN, SUBJECTS, UNMETERED, misses, table
from tests.benchmarks.unmetered import Uncounted


def measured(**microseconds: float) -> dict[str, list[Measurement]]:
    """Two rounds of CPU per request, 20 µs if not told, and a rate to match; the second is twice as dear."""
    return {name: [_second(microseconds.get(name, 20.0), slow) for slow in (1, 2)] for name in SUBJECTS}


def _second(microseconds: float, slow: int) -> Measurement:
    requests = round(20_000 / microseconds)
    return measurement(requests, cpu_seconds=slow * microseconds * requests / 1e6)


def test_what_is_within_the_bars_misses_none():
    assert misses(measured(combined=20.5, json=20.9, unmetered=19.9)) == []


def test_what_costs_too_much_is_named():
    found = misses(measured(combined=22, unmetered=19))
    assert found == [
        "access log, combined: 90.9% of plain's requests/s (bar: 95%)",
        "metrics: +5.3% CPU per request (bar: 1%)",
    ]


def test_the_table_tells_least_and_median_and_pairs():
    _, _, plain, combined, *_ = table("tiny GET", measured(combined=25))
    assert plain.startswith("| as it comes | 20.0, 30.0 µs | 100.0% (100.0% to 100.0%) | 1,000 |")
    assert combined.startswith(
        "| access log, combined | 25.0, 37.5 µs | 125.0% (125.0% to 125.0%) | 800 | 80.0%"
    )


def test_subjects_differ_in_nothing_but_what_is_measured(tmp_path: Path):
    configs = {}
    for subject in SUBJECTS.values():
        configs[subject.name] = config = json.loads(subject.config(1, [2, 3], tmp_path))
        config["admin"]["listen"] = "127.0.0.1:4"  # a free one each
        (tmp_path / "config.json").write_text(json.dumps(config))
        load(tmp_path / "config.json", {}, {})
    assert configs[UNMETERED.name] == configs[PLAIN.name]
    for subject, name in ((COMBINED, "combined"), (JSON, "json")):
        assert configs[subject.name].pop("accessLog")["format"] == name
        assert configs[subject.name] == configs[PLAIN.name]


def test_what_does_not_count_does_all_that_meters_do():
    public = {name for name in dir(Meters) if not name.startswith("_")}
    assert public <= {*dir(Uncounted), "slot"}
