"""The commands on the front page, run one after the other as they stand there, show what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.files import TOP, program
from tests.integration.balancer import Balancer
from tests.support import free_port

README = (TOP / "README.md").read_text()
#: Not those that look for the processes of this machine's balancer: others may run here.
BLOCKS = [block for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if "pgrep" not in block]
#: Each command with what it is said to show.
STEPS = [
    (command, shown)
    for block in BLOCKS
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]
PORTS = ("8080", "8081", "5001", "5002", "5003", "5004", "5005", "5006", "5007")
#: What differs from run to run.
VARYING = (
    (r"\b\d+s ago|\bnow\b", "AGE"),
    (r"[ \t]+", " "),
    (r"(200 OK|connection refused) \d+\.\d ms, AGE|-(?= config| admin)", "CHECK"),
)


def likened(text: str) -> str:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text.strip()


def test_there_are_steps() -> None:
    assert len(STEPS) >= 10


@pytest.mark.slow
@pytest.mark.skipif(program("curl") is None, reason="curl is not installed")
def test_each_step_shows_what_it_is_said_to() -> None:
    real = dict(zip(PORTS, ports(len(PORTS)), strict=True))

    def placed(text: str, home: Path) -> str:
        text = re.sub(rf"\b({'|'.join(PORTS)})\b", lambda match: real[match[1]], text)
        return text.replace("/tmp/more.json", str(home / "more.json"))

    config = {
        "port": f":{real['8080']}",
        "admin": {"listen": f"127.0.0.1:{real['8081']}"},
        "servers": [f"http://localhost:{real[port]}" for port in PORTS[2:7]],
        "healthCheckInterval": "5s",  # so that requests find out first, however slow they are here
    }
    with Balancer(config, workers=2, command="demo") as balancer:
        script = [
            "set -m",
            *(
                f"echo '$ {number}'; {placed(command, balancer.home)}"
                for number, (command, _) in enumerate(STEPS)
            ),
        ]
        said = shell(script, balancer.home)
    outputs = re.split(r"^\$ \d+\n", said, flags=re.MULTILINE)[1:]
    for (command, shown), output in zip(STEPS, outputs, strict=True):
        if shown:
            assert likened(placed(shown, balancer.home)) == likened(output), command


def ports(count: int) -> list[str]:
    found: set[str] = set()
    while len(found) < count:
        found.add(str(free_port()))
    return sorted(found)


def shell(script: list[str], home: Path) -> str:
    """Run the lines in one shell; what they leave running ends with it. Return what they print."""
    lines = ["trap 'kill -9 $(jobs -p) 2>/dev/null' EXIT", *script]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        check=False,
        cwd=home,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=90,
    )
    return done.stdout
