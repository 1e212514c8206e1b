"""The Dockerfile and the compose files: as little as needed in them, and what they say of lb is true."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lb.config import Config, load
from tests.deploy.files import DEPLOY, TOP, document, needs, program, run
from tests.integration.balancer import Balancer

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
#: Instructions, each on one line.
LINES = [line for line in re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines() if line and line[0] != "#"]
COMPOSE = [DEPLOY / "compose.yaml", DEPLOY / "sentinel/compose.yaml"]
TOKEN = "t" * 16


def instructions(name: str) -> list[str]:
    return [rest for word, _, rest in (line.partition(" ") for line in LINES) if word == name]


@needs("hadolint")
def test_hadolint_finds_nothing() -> None:
    done = run("hadolint", "--no-color", DEPLOY / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_base_is_pinned_and_the_same_for_both_stages() -> None:
    bases = {base.split()[0] for base in instructions("FROM")}
    (base,) = bases
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)


def test_the_image_runs_as_an_ordinary_user_known_by_its_number() -> None:
    (user,) = instructions("USER")
    uid, gid = map(int, user.split(":"))
    assert min(uid, gid) >= 1000
    final = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM")) :]
    assert final.index(f"USER {user}") > max(i for i, line in enumerate(final) if line.startswith("RUN"))
    assert f"--uid {uid} " in DOCKERFILE
    assert f"--gid {gid} " in DOCKERFILE


def test_nothing_is_fetched_from_elsewhere_and_nothing_left_over() -> None:
    assert instructions("ADD") == []
    assert all("--no-cache-dir" in line for line in instructions("RUN") if "pip install" in line)
    assert all("/var/lib/apt/lists" in line for line in instructions("RUN") if "apt-get" in line)


def test_the_image_holds_no_secret() -> None:
    words = "|".join(("token", "password", "secret", "redis"))
    assert [line for line in instructions("ENV") + instructions("ARG") if re.search(words, line, re.I)] == []


def test_the_context_is_the_product_alone() -> None:
    """What is not listed does not go to the engine that builds, and into no layer."""
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    sources = {
        source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]
    }
    assert ignored[0] == "*"
    assert {name[1:] for name in ignored if name[0] == "!"} == sources
    assert all((TOP / source).exists() for source in sources)


def test_the_health_check_asks_whether_clients_are_let_in() -> None:
    """The very command of the image, at a balancer that runs, and where nobody listens."""
    (check,) = instructions("HEALTHCHECK")
    words = json.loads(check[check.index("[") :])
    assert words[:2] == ["python", "-c"]
    assert str(Config().port.port) in words[2]

    def passes(port: int) -> bool:
        code = words[2].replace(str(Config().port.port), str(port))
        return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0

    with Balancer({"servers": ["http://localhost:9"]}) as balancer:
        assert passes(int(balancer.url.rpartition(":")[2]))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert not passes(port)


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.parent.name)
def test_balancers_of_compose_are_configured_as_lb_takes_it(path: Path) -> None:
    for name, service in document(path)["services"].items():
        if not str(service.get("image", "")).endswith("lb"):
            continue
        given = {key: value_of(str(value)) for key, value in service["environment"].items()}
        config = load(None, given, {})
        assert len(config.servers) == 3, name
        for port in service.get("ports", []):
            inside = int(port.rpartition(":")[2])
            assert inside in (config.port.port, config.admin.listen.port)
        stop = int(re.sub(r"\D", "", service["stop_grace_period"]))
        assert stop >= config.graceful_timeout_seconds + 1 + 5 + 5


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.parent.name)
def test_containers_may_do_little(path: Path) -> None:
    for name, service in document(path)["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only") or name == "grafana", f"{name} can write to its image"


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.parent.name)
def test_compose_files_name_what_is_there(path: Path) -> None:
    whole: dict[str, Any] = document(path)
    for name, service in whole["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (path.parent / source).exists() if source[0] == "." else source in whole["volumes"], name
        assert set(service.get("depends_on", ())) <= set(whole["services"])
        if "build" in service:
            context = (path.parent / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).exists()
        assert re.fullmatch(r"lb|[\w/.-]+:[\w.-]+", service["image"]), "an image without a tag"
        assert not service["image"].endswith(":latest")


@needs("docker-compose")
@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.parent.name)
def test_compose_takes_the_files(path: Path) -> None:
    environment = {**os.environ, "LB_ADMIN_TOKEN": TOKEN}
    assert program("docker-compose")
    done = run("docker-compose", "-f", path, "--profile", "watch", "config", "-q", env=environment)
    assert done.returncode == 0, done.stderr
    del environment["LB_ADMIN_TOKEN"]
    assert "LB_ADMIN_TOKEN" in run("docker-compose", "-f", path, "config", "-q", env=environment).stderr


def value_of(text: str) -> str:
    """Put in what compose takes from the environment."""
    return re.sub(r"\$\{LB_ADMIN_TOKEN:\?[^}]*\}", TOKEN, re.sub(r"\$\{\w+:-\}", "", text))
