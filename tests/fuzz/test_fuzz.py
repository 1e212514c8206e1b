"""Each target holds for its seeds, and for what a fuzzer finds in a few seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.__main__ import NAMES
from tests.fuzz.targets import TARGETS

TOP = Path(__file__).parents[2]
#: A few seconds each. Always the same inputs: a change is judged by what it changes, not by chance.
INPUTS = {"request-head": 200_000, "response-head": 200_000, "chunked-body": 40_000, "connection": 12_000}


def test_every_target_can_be_named() -> None:
    assert tuple(TARGETS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_seeds_hold(name: str) -> None:
    fuzz(name, "--seconds", "0")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python or platform")
@pytest.mark.parametrize("name", NAMES)
def test_nothing_breaks_it(name: str) -> None:
    assert "stat::number_of_executed_units" in fuzz(name, "--seconds", "60", "--inputs", str(INPUTS[name]))


def fuzz(name: str, *options: str) -> str:
    """Run the fuzzer in a process of its own, and return what it says."""
    command = [sys.executable, "-m", "tests.fuzz", name, *options]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    run = subprocess.run(
        command, cwd=TOP, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stderr[-5000:]
    return run.stderr
