"""A real Prometheus scrapes two hosts as configured: every panel has data, no request counts twice."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import DEPLOY, needs, program
from tests.deploy.test_grafana import PANELS
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet, ok
from tests.integration.servers import servers
from tests.support import Valkey, eventually, free_port

TOTAL = "sum(max without (instance) (lb_requests_total))"
TOKENS = {"token": "t" * 16, "readToken": "r" * 16}


class Prometheus:
    """A Prometheus with the configuration that is shipped, which asks these hosts, and often."""

    def __init__(self, home: Path, hosts: list[Balancer]) -> None:
        for path in (DEPLOY / "prometheus").glob("*.yml"):
            (home / path.name).write_text(path.read_text())
        (home / "lb-token").write_text(TOKENS["readToken"])
        targets = json.dumps([urllib.parse.urlsplit(host.admin_url).netloc for host in hosts])
        config = (home / "prometheus.yml").read_text().replace('["lb-1:8081", "lb-2:8081"]', targets)
        (home / "prometheus.yml").write_text(config.replace("15s", "500ms"))
        self.url = f"http://127.0.0.1:{free_port()}"
        self._home = home

    @contextmanager
    def running(self) -> Iterator[None]:
        command = [program("prometheus") or "", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command.append(f"--web.listen-address={urllib.parse.urlsplit(self.url).netloc}")
        with (self._home / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=self._home, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now; none while Prometheus starts."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except OSError:
            return []
        return found

    def value(self, expression: str) -> float:
        """Return the one figure that an expression gives; 0 while there is none."""
        found = self.ask(expression)
        return float(found[0]["value"][1]) if found else 0.0


@needs("prometheus")
@pytest.mark.slow
def test_two_hosts_are_scraped(valkey: Valkey, tmp_path: Path) -> None:
    with ExitStack() as stack:
        two = stack.enter_context(servers(2))
        for server in two:
            server.behaviour = ok
        config = {
            "servers": [f"http://localhost:{one.port}" for one in two],
            "redis": valkey.url,
            "keyPrefix": "scraped",
            "admin": {"listen": "127.0.0.1:0", **TOKENS},
        }
        hosts = [stack.enter_context(Balancer(config)) for _ in range(2)]
        prometheus = Prometheus(tmp_path, hosts)
        stack.enter_context(prometheus.running())
        eventually(lambda: prometheus.value("sum(up)") == 2, seconds=30, what="two hosts that are up")
        asked = 0
        for turn in range(3):  # so that there is something to take a rate of
            for host in hosts:
                with Fleet(host, two).load(connections=2, total=100) as load:
                    pass
                asked += len(load.outcomes)
            eventually(lambda all_=asked: prometheus.value(TOTAL) >= all_, seconds=20, what=f"turn {turn}")
            assert prometheus.value(TOTAL) == asked
        targets = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
        assert {title for title, target in targets if not shown(prometheus, target)} == set()
        assert prometheus.ask('ALERTS{alertstate="firing"}') == []


def shown(prometheus: Prometheus, target: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask what a panel asks."""
    text = target["expr"].replace("$__rate_interval", "30s").replace("$job", "lb").replace("$server", ".*")
    assert not re.search(r"\$\w", text)
    return prometheus.ask(text)
