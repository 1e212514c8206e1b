"""The dashboard can be imported anywhere, asks for what is measured, and counts no host twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, document, needs, run
from tests.deploy.test_prometheus import METRICS, unknown

GRAFANA = DEPLOY / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/lb.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
#: Of the host itself, not of the fleet: these may be looked at one by one.
OF_ONE_HOST = ("lb_store_up", "lb_health_checker_leader", "lb_build_info")


def expressions() -> Iterator[str]:
    """All that the dashboard asks, as Prometheus gets it."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]
    for annotation in DASHBOARD["annotations"]["list"]:
        if "expr" in annotation:
            yield annotation["expr"]


@needs("promtool")
def test_prometheus_understands_each_expression(tmp_path: Path) -> None:
    filled = [
        re.sub(r"\$(job|server)", "x", expression.replace("$__rate_interval", "1m"))
        for expression in expressions()
    ]
    rules = [{"record": f"r:{number}", "expr": expression} for number, expression in enumerate(filled)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = run("promtool", "check", "rules", "--lint=none", path)
    assert done.returncode == 0, done.stderr


def test_each_expression_asks_for_what_is_measured() -> None:
    assert {name for expression in expressions() for name in unknown(expression)} == set()


def test_all_that_is_measured_is_shown() -> None:
    text = " ".join(expressions())
    assert {metric for metric in METRICS if metric not in text} == set()


def test_no_host_is_counted_twice() -> None:
    """Every figure of the fleet is taken once, before anything is added up."""
    for expression in expressions():
        once = re.sub(r"max (without \(instance\)|by \(job\)) \((\w+\()?lb_\w+", "", expression)
        left = [name for name in re.findall(r"\blb_\w+", once) if name not in OF_ONE_HOST]
        aggregated = left == ["lb_degraded_seconds_total"] or left == []
        assert aggregated, expression


def test_one_fleet_is_looked_at() -> None:
    assert all(
        'job="$job"' in part for text in expressions() for part in re.findall(r"\blb_\w+{[^}]*}", text)
    )


def test_it_can_be_imported_anywhere() -> None:
    """The data source is chosen, and no number of this or that installation is in the file."""
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    sources = [found for found in _found(DASHBOARD, "datasource") if isinstance(found, dict)]
    assert {source["uid"] for source in sources} == {"${datasource}", "-- Grafana --"}
    assert "id" not in DASHBOARD


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panels_say_what_they_show(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references)) > 0


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_provisioning_leads_to_the_dashboard() -> None:
    (provider,) = document(GRAFANA / "provisioning/dashboards/lb.yml")["providers"]
    mounts = document(DEPLOY / "compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts
    (source,) = document(GRAFANA / "provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"


def _found(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == name:
                yield inner
            yield from _found(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, name)
