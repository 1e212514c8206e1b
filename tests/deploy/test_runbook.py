"""The runbook leaves nothing out, and its commands run as they are written."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.config import from_json
from lb.model import EVENT_KINDS
from lb.store.session import _TRANSLATION
from tests.deploy.files import PAGES, TOP, anchors, name_of, program
from tests.integration.balancer import Balancer
from tests.integration.fleet import ok
from tests.integration.servers import servers

DOCS = TOP / "lb/docs"
TEXT = (DOCS / "runbook.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
#: What the first cells of its tables quote.
_FIRST_CELLS = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
QUOTED = [quote for cell in _FIRST_CELLS for quote in re.findall("`(.*?)`", cell)]


def warnings() -> Iterator[str]:
    """What the program warns of, as it stands in the code: `%s` and the like for what differs."""
    for path in sorted((TOP / "lb").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Attribute(ast.Name(name), level), [ast.Constant(line), *_]):
                    if name in ("log", "_log", "_limited") and level in (
                        "warning",
                        "error",
                        "exception",
                        "critical",
                    ):
                        yield line


#: Whose words come from elsewhere: the problems of a config, and of the environment.
ELSEWHERE = {"reload: %s", "%s"}


@pytest.mark.parametrize("line", sorted({*warnings()} - ELSEWHERE))
def test_each_line_is_explained(line: str) -> None:
    """A quote of the runbook has the same words, with `…` or an example where the line has this or that."""
    said = re.compile("(?:…|.+?)".join(re.escape(part) for part in re.split(r"%[-.\d]*[a-z]", line)))
    assert any(map(said.fullmatch, QUOTED)), f"lb/docs/runbook.md does not explain: {line}"


def test_each_event_is_explained() -> None:
    assert {kind for kind in EVENT_KINDS if kind not in QUOTED} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("meaning", [meaning for _, _, meaning in _TRANSLATION])
def test_each_fault_of_a_store_is_explained(meaning: str) -> None:
    words, _, _ = meaning.partition(" (redis:")
    words, _, _ = words.partition(" (docs/")
    assert f"`{words}" in (DOCS / "engines.md").read_text()


def test_the_receiver_knows_the_secret_of_the_example() -> None:
    """Both can be copied as they are."""
    guide = (DOCS / "operations.md").read_text()
    (example,) = re.findall(r"^ +(\{\"webhook\": .*\})$", guide, re.MULTILINE)
    secret = from_json(example).webhook.secret
    assert f'hmac.new(b"{secret}", ' in guide


def test_commands_run() -> None:
    """Each by itself, where a balancer runs; its ports are those of this balancer."""
    assert COMMANDS
    with servers(1) as (server,):
        server.behaviour = ok
        with Balancer({"servers": [f"http://localhost:{server.port}"]}) as balancer:
            places = {
                "http://localhost:8081": balancer.admin_url,
                "http://localhost:8080": balancer.url,
                "localhost:5001": f"localhost:{server.port}",
            }
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            for command in COMMANDS:
                if program(command.split()[0]) is None:
                    continue
                placed = command
                for written, real in places.items():
                    placed = placed.replace(written, real)
                done = subprocess.run(
                    ["bash", "-ec", f"set -o pipefail; {placed}"],
                    check=False,
                    cwd=balancer.home,
                    env={**os.environ, "PATH": path},
                    capture_output=True,
                    text=True,
                    timeout=60,
                )
                assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stderr}"
