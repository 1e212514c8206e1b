from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from lb.config import load
from lb.processes.announce import announce, how_it_ended, where_it_says_why
from lb.processes.child import Child, Role
from lb.processes.crew import muster


def said(capsys: pytest.CaptureFixture[str], directory: Path, **settings: str) -> str:
    settings = {
        "LB_ADMIN_LISTEN": "127.0.0.1:0",
        "LB_DATA_DIR": str(directory),
        "LB_WORKERS": "1",
        **settings,
    }
    with muster(load(None, settings, {}), {}, demo=False) as crew:
        announce(crew)
        return capsys.readouterr().err.replace(str(crew.client.getsockname()[1]), "PORT")


def test_where_and_what(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = said(capsys, tmp_path, LB_PORT=":0", LB_SERVERS="http://a:1").splitlines()
    assert lines[0].startswith(
        "lb: listening on http://0.0.0.0:PORT — 1 worker, round-robin, 1 server, admin"
    )
    assert lines[1:] == [f"lb: the store can be read with: redis-cli -s {tmp_path}/store.sock"]


def test_an_address_of_its_own_and_no_servers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where no config.json names any
    lines = said(capsys, tmp_path, LB_PORT="[::1]:0", LB_REDIS="redis://h").splitlines()
    assert lines[0].startswith("lb: listening on http://[::1]:PORT — ")
    assert lines[1:] == ["lb: the config names no servers: `lb-admin add URL` adds one to the pool"]


@pytest.mark.parametrize(
    ("role", "free", "where"),
    [
        ("worker", 0, "see above"),
        ("store", 1 << 20, "see above, or {}/store.log"),
        ("store", 1 << 10, "the disk of {} is full"),  # and there is nothing in the log
    ],
)
def test_where_it_says_why_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, free: int, where: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    config = load(None, {"LB_DATA_DIR": str(tmp_path)}, {})
    assert where_it_says_why(Child(Role(role)), config) == where.format(tmp_path)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "killed by SIGKILL"), (-40, "killed by signal 40")],
)
def test_how_it_ended_in_words(exit_code: int, words: str) -> None:
    assert how_it_ended(exit_code) == words
