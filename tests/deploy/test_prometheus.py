"""Prometheus takes the configuration and the rules, every alert was seen to fire, and each is explained."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import DEPLOY, TOP, anchors, document, needs, run

PROMETHEUS = DEPLOY / "prometheus"
GROUPS = document(PROMETHEUS / "alerts.yml")["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
TESTS = ("alerts.test.yml", "alerts.slow.test.yml")
RUNBOOK = TOP / "lb/docs/runbook.md"
#: What is measured, as the guide lists it; a histogram is three series.
METRICS = set(re.findall(r"^\| `(lb_\w+)` \|", (TOP / "lb/docs/metrics.md").read_text(), re.MULTILINE))


@needs("promtool")
@pytest.mark.parametrize("name", ["prometheus.yml", "kubernetes.yml"])
def test_prometheus_takes_the_configuration(name: str, tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (tmp_path / "prometheus/lb-token").write_text("t" * 16)
    config = tmp_path / "prometheus" / name
    config.write_text(config.read_text().replace("/etc/lb-secrets/READ_TOKEN", "lb-token"))
    done = run("promtool", "check", "config", config)
    assert done.returncode == 0, done.stderr


@needs("promtool")
def test_each_alert_fires_when_it_should_and_not_before() -> None:
    done = run("promtool", "test", "rules", *TESTS, cwd=PROMETHEUS)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("promtool")
def test_hosts_are_not_added_up(tmp_path: Path) -> None:
    """The tests of the rules notice it: with `sum` in place of `max`, some of them fail."""
    shutil.copy(PROMETHEUS / "alerts.test.yml", tmp_path)
    rules = (PROMETHEUS / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(rules.replace("max without (instance)", "sum without (instance)"))
    done = run("promtool", "test", "rules", "alerts.test.yml", cwd=tmp_path)
    assert done.returncode != 0
    assert "LbServerFlaps" in done.stdout + done.stderr


def test_each_alert_has_been_tested() -> None:
    tests = [test for name in TESTS for test in document(PROMETHEUS / name)["tests"]]
    names = [test["name"].partition(":")[0] for test in tests]
    assert set(ALERTS) <= set(names)


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_say_what_they_mean(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors(TOP / path)
    assert anchor == name.lower()


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_ask_for_what_is_measured(name: str) -> None:
    assert unknown(ALERTS[name]["expr"]) == set()


def test_the_runbook_explains_no_alert_that_is_gone() -> None:
    explained = set(re.findall(r"^### (Lb\w+)$", RUNBOOK.read_text(), re.MULTILINE))
    assert explained == set(ALERTS)


def unknown(expression: str) -> set[str]:
    """Return the metrics of lb that an expression asks for and nobody measures."""
    asked = set(re.findall(r"\blb_\w+", expression))
    return {name for name in asked if re.sub(r"_(bucket|sum|count)$", "", name) not in METRICS}
