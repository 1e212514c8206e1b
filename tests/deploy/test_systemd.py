"""The units are what systemd understands, ask for little, and leave the balancer all that it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.config import Config
from tests.deploy.files import DEPLOY, TOP, needs, run
from tests.integration.balancer import READY
from tests.support import eventually

UNITS = ("lb.service", "lb.socket")
CONFIG = {
    "port": "127.0.0.1:0",
    "admin": {"listen": "127.0.0.1:0"},
    "workers": 1,
    "servers": ["http://127.0.0.1:9"],
    "healthCheckInterval": "1h",
}


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units as installed, but for where the program is: systemd looks whether it is there."""
    for name in UNITS:
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/lb/bin/lb", sys.executable))
    return [tmp_path / name for name in UNITS]


@needs("systemd-analyze")
def test_systemd_understands_the_units(units: list[Path]) -> None:
    done = run("systemd-analyze", "verify", "--man=no", *units)
    about_ours = [line for line in done.stderr.splitlines() if "lb." in line]
    assert (done.returncode, about_ours) == (0, []), done.stderr


@needs("systemd-analyze")
def test_the_service_may_do_little(units: list[Path]) -> None:
    done = run("systemd-analyze", "security", "--no-pager", "--offline=true", units[0])
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit that is not loaded")
    found = re.search(r"exposure level for lb.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= 1.5, done.stdout


def test_a_graceful_stop_has_the_time_it_needs() -> None:
    service = (DEPLOY / "lb.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", service, re.MULTILINE)
    assert int(seconds) >= Config().graceful_timeout_seconds + 1 + 5 + 5  # farewell, helpers, the store


def test_systemd_leaves_it_to_the_supervisor_when_a_child_ends() -> None:
    """By itself it would stop all of a service of which one process ran out of memory."""
    settings = (DEPLOY / "lb.service").read_text().splitlines()
    assert {"OOMPolicy=continue", "Restart=always", "StartLimitIntervalSec=0"} <= set(settings)


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name, as a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="lb-") as directory:
        yield Path(directory)


@pytest.mark.parametrize("store", ["embedded", "given"])
def test_what_the_service_takes_away_is_not_needed(home: Path, store: str, store_url: str) -> None:
    """The balancer starts and answers without rights, where it can write nothing but the embedded store."""
    sandbox = _sandbox(home)
    config, log = home / "config.json", home / "log"
    given = {"redis": store_url, "keyPrefix": home.name} if store == "given" else {}
    data_dir = home / ("nowhere" if given else "data")
    config.write_text(json.dumps({**CONFIG, **given}))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*sandbox, sys.executable, "-m", "lb", "run", "--config", str(config)],
            cwd=TOP,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "LB_DATA_DIR": str(data_dir), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    try:
        ready = eventually(lambda: READY.search(log.read_text()), seconds=30, what="the ready line")
        with urllib.request.urlopen(f"{ready[2]}/status", timeout=10) as answer:
            assert json.load(answer)["servers"]["total"] == 1
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()  # and with it all that is in its namespace
        process.wait(20)


def _sandbox(home: Path) -> list[str]:
    """Return the words that put a command into the sandbox; skip the test where that cannot be."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("unshare and setpriv are not installed")
    data = home / "data"
    data.mkdir()
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, "-m"]
    words += ["tests.deploy.sandbox", str(data)]
    tried = run(*words, "true", cwd=TOP)
    if tried.returncode != 0:
        pytest.skip(f"no namespaces of its own here: {tried.stderr.strip()[-200:]}")
    return words
