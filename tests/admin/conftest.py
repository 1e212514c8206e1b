"""Runs `lb-admin` on the test's own pool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lb.admin import main
from lb.store.keys import Keys


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def run(store_url: str, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty directory; LB_REDIS names the store unless `env` says otherwise."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **env: str | None) -> Outcome:
        environ = {"LB_REDIS": store_url, "LB_CONFIG": None, "LB_KEY_PREFIX": keys.prefix, **env}
        result = CliRunner(env=environ).invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def start(store_url: str, keys: Keys, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the real command in an empty directory; it is ended with the test."""
    with ExitStack() as started:

        def act(*arguments: str, stdout: Any = subprocess.PIPE, **env: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("lb-admin"), *arguments],
                env={**os.environ, "LB_REDIS": store_url, "LB_KEY_PREFIX": keys.prefix, **env},
                cwd=tmp_path,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield act
