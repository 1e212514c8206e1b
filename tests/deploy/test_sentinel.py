"""The example with Sentinel, run from the files that are shipped: the primary dies and nobody notices."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import redis

from lb.store.embedded import binary
from tests.deploy.files import DEPLOY, document
from tests.integration.balancer import Balancer
from tests.integration.engines import linked
from tests.integration.fleet import Fleet, ok
from tests.integration.servers import servers
from tests.support import eventually, free_port

SENTINEL = DEPLOY / "sentinel"
SERVICES = document(SENTINEL / "compose.yaml")["services"]
NAMES = [name for name in SERVICES if re.match(r"(valkey|sentinel)-", name)]


class Node:
    """One service of the compose file as a plain process: its own file and command, other ports and names."""

    def __init__(self, home: Path, name: str, ports: dict[str, int]) -> None:
        self.name = name
        self.port = ports[name]
        self._home = home / name
        self._home.mkdir()
        sentinel = name.startswith("sentinel")
        text = (SENTINEL / ("sentinel.conf" if sentinel else "valkey.conf")).read_text()
        words = "\n".join(_lines(SERVICES[name].get("command", [])))
        self._config = self._home / "node.conf"
        self._config.write_text(self._placed(f"{text}\n{words}\nbind 127.0.0.1\n", ports))
        self._sentinel = ["--sentinel"] if sentinel else []
        self.client = redis.Redis(port=self.port, decode_responses=True, protocol=2)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._home / "log").open("ab") as log:
            command = [str(binary()), str(self._config), *self._sentinel]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, seconds=10, what=f"an answer of {self.name}")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._home / "log").read_text()
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False

    def _placed(self, text: str, ports: dict[str, int]) -> str:
        """Replace what containers have each for themselves: ports, names, directories."""
        text = re.sub(r"^dir /data$", f"dir {self._home}", text, flags=re.MULTILINE)
        text = re.sub(r"^port \d+$", f"port {self.port}", text, flags=re.MULTILINE)
        text = re.sub(r"(valkey-\d) 6379", lambda found: f"127.0.0.1 {ports[found[1]]}", text)
        return re.sub(r"replica-announce-ip valkey-\d", "replica-announce-ip 127.0.0.1", text)


def _lines(command: list[str]) -> list[str]:
    """Turn the options of a command into lines of a configuration."""
    words = iter(command[2:])
    return [f"{option.removeprefix('--')} {next(words)}" for option in words]


@pytest.fixture
def nodes() -> Iterator[dict[str, Node]]:
    home = Path(tempfile.mkdtemp(prefix="lb-"))
    ports = {name: free_port() for name in NAMES}
    try:
        with ExitStack() as stack:
            made = {name: Node(home, name, ports) for name in NAMES}
            for node in made.values():
                stack.callback(node.client.close)
                stack.callback(node.kill)
                node.start()
            yield made
    finally:
        shutil.rmtree(home)


@pytest.mark.slow
def test_the_primary_is_killed(nodes: dict[str, Node]) -> None:
    replicas = [nodes["valkey-2"], nodes["valkey-3"]]
    sentinels = [node for name, node in nodes.items() if name.startswith("sentinel")]
    for replica in replicas:
        eventually(lambda replica=replica: linked(replica), seconds=20, what="a replica that follows")
    eventually(lambda: all(map(sees_all, sentinels)), seconds=30, what="sentinels that see all")
    with servers(3) as three:
        for server in three:
            server.behaviour = ok
        config = {"servers": [f"http://localhost:{one.port}" for one in three], "redis": url(nodes)}
        with Balancer(config, workers=2) as balancer:
            fleet = Fleet(balancer, three)
            fleet.wait_workers(2)
            with fleet.load(connections=2) as load:
                nodes["valkey-1"].kill()
                eventually(lambda: primary(sentinels) != nodes["valkey-1"].port, seconds=30, what="another")
                eventually(lambda: balancer.log.count("decides again") == 2, seconds=30, what="both workers")
            assert load.errors == []
            fleet.wait_workers(2)


def url(nodes: dict[str, Node]) -> str:
    """What the balancers of the compose file are given, with the ports of the test."""
    given: str = SERVICES["lb-1"]["environment"]["LB_REDIS"]
    return re.sub(r"sentinel-\d", lambda found: f"127.0.0.1:{nodes[found[0]].port}", given)


def sees_all(sentinel: Node) -> bool:
    state = sentinel.client.sentinel_master("lb")
    return (state["num-slaves"], state["num-other-sentinels"]) == (2, 2)


def primary(sentinels: list[Node]) -> int:
    (port,) = {node.client.sentinel_master("lb")["port"] for node in sentinels[:1]}
    return int(port)
