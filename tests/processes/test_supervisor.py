"""The supervisor's own loop, over children that only play their roles."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lb.config import load
from lb.errors import LBError
from lb.processes import child, sockets, store_watch, supervisor
from tests.processes import actor
from tests.support import eventually

Scene = Callable[["Stage"], None]
SETTINGS = {"LB_PORT": "127.0.0.1:0", "LB_ADMIN_LISTEN": "127.0.0.1:0", "LB_WORKERS": "2"}


class Stage:
    """Runs a supervisor in this process, while a scene plays in a thread beside it."""

    def __init__(self, notes: Path, setenv: Callable[[str, str], None]) -> None:
        self._notes = notes
        self._setenv = setenv
        self._broken: list[Exception] = []

    def play(self, scene: Scene | None = None, *, demo: bool = False, **roles: list[str]) -> int:
        """Return the exit status. Without a scene it must end by itself; else SIGTERM follows the scene."""
        play = {"reconcile": ["done"], **{role.replace("_", "-"): words for role, words in roles.items()}}
        self._setenv(actor.PLAY, json.dumps(play))
        config = load(None, {**SETTINGS, "LB_DATA_DIR": str(self._notes / "data")}, {})
        if scene is None:
            return supervisor.run(lambda: config, demo=demo)
        beside = threading.Thread(target=self._act, args=(scene,))
        before = signal.signal(signal.SIGTERM, lambda *_: None)  # the last one may come after the end
        beside.start()
        try:
            return supervisor.run(lambda: config, demo=demo)
        finally:
            beside.join()
            signal.signal(signal.SIGTERM, before)
            assert not self._broken, self._broken

    def pids(self, role: str) -> list[int]:
        """Process ids of all who have played a role, the latest last."""
        notes = sorted(self._notes.glob(f"{role} *"), key=lambda note: note.stat().st_mtime_ns)
        return [int(note.name.split()[1]) for note in notes]

    def first(self, role: str) -> int:
        return eventually(lambda: self.pids(role), what=role)[0]

    def _act(self, scene: Scene) -> None:
        try:
            scene(self)
        except Exception as error:
            self._broken.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    monkeypatch.setattr(child, "PROGRAM", (sys.executable, actor.__file__))
    monkeypatch.setenv(actor.NOTES, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stage = Stage(tmp_path, monkeypatch.setenv)
    yield stage
    assert not [note.name for note in tmp_path.glob("* *") if alive(int(note.name.split()[1]))]


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def all_ready(stage: Stage) -> None:
    for role in ("store", "worker", "health-checker", "api"):
        stage.first(role)
    eventually(lambda: len(stage.pids("worker")) >= 2)


def test_it_says_that_it_is_ready(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    said = ""

    def scene(stage: Stage) -> None:
        def ready() -> bool:
            nonlocal said
            said += capfd.readouterr().err
            return "store.sock" in said

        eventually(ready)

    assert stage.play(scene) == 0
    assert re.search(r"lb: listening on http://127\.0\.0\.1:\d+ — 2 workers, round-robin, 0 servers, ", said)


def test_it_goes_on_when_nobody_reads_what_it_says(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(pipe, write_through=True))
        assert stage.play(all_ready) == 0


def test_workers_start_only_once_the_pool_is_reconciled(stage: Stage) -> None:
    assert stage.play(reconcile=["fail"]) == 1
    assert stage.pids("reconcile")
    assert stage.pids("worker") == stage.pids("api") == []


def test_a_reconcile_that_was_killed_had_no_chance_to_say_why(
    stage: Stage, capfd: pytest.CaptureFixture[str]
) -> None:
    assert stage.play(reconcile=["die"]) == 1
    assert re.search(
        r"lb: error: reconcile \d+ did not get done \(killed by SIGKILL\)\n", capfd.readouterr().err
    )


def test_a_store_that_cannot_start_ends_all(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    assert stage.play(store=["fail"], reconcile=["live"]) == 1
    assert "lb: error: store ended at its start (exit status 3), see above, or " in capfd.readouterr().err


def test_demo_servers_that_cannot_start_end_all(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    assert stage.play(demo=True, servers=["fail"], reconcile=["live"]) == 1
    assert "lb: error: servers ended at its start" in capfd.readouterr().err


def test_a_port_that_another_took_meanwhile_ends_all(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def taken(*_: object) -> None:
        raise LBError("cannot listen on :8080: address already in use")

    monkeypatch.setattr(sockets, "listen", taken)
    assert stage.play() == 1
    assert "lb: error: cannot listen on :8080: address already in use\n" in capfd.readouterr().err
    assert stage.pids("worker") == []


def test_it_gives_up_when_no_worker_can_ever_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(child, "FIRST_DELAY_SECONDS", 0.001)
    assert stage.play(worker=["fail"]) == 1
    assert "lb: error: no worker could start in 5 tries (exit status 3), see above" in capfd.readouterr().err
    assert len(stage.pids("worker")) >= 2 * supervisor.FAILED_STARTS


@pytest.mark.parametrize("role", ["store", "worker", "health-checker", "api"])
def test_what_dies_is_started_again(stage: Stage, role: str, caplog: pytest.LogCaptureFixture) -> None:
    def scene(stage: Stage) -> None:
        all_ready(stage)
        before = len(stage.pids(role))
        os.kill(stage.first(role), signal.SIGKILL)
        eventually(lambda: len(stage.pids(role)) > before)

    assert stage.play(scene) == 0
    assert re.search(rf"{role} \d+ ended \(killed by SIGKILL\), starting another in 0\.1 s", caplog.text)


def test_a_store_whose_socket_was_deleted_is_started_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store_watch, "LOOK_SECONDS", 0.05)
    path = tmp_path / "data" / "store.sock"

    def scene(stage: Stage) -> None:
        all_ready(stage)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            eventually(lambda: vanished_and_replaced(stage, path))

    assert stage.play(scene) == 0


def vanished_and_replaced(stage: Stage, path: Path) -> bool:
    """Move the socket away and back: it must be seen both ways."""
    other = path.with_name("moved")
    (path.rename(other) if path.exists() else other.rename(path))
    return len(stage.pids("store")) == 2


def test_reconcile_is_not_started_again(stage: Stage) -> None:
    def scene(stage: Stage) -> None:
        all_ready(stage)
        os.kill(stage.first("worker"), signal.SIGKILL)
        eventually(lambda: len(stage.pids("worker")) == 3)

    assert stage.play(scene) == 0
    assert len(stage.pids("reconcile")) == 1


def test_a_hung_worker_is_replaced(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "HUNG_SECONDS", 0.5)

    def scene(stage: Stage) -> None:
        eventually(lambda: len(stage.pids("worker")) == 3)

    assert stage.play(scene, worker=["mute", "live"]) == 0


def test_it_stops_the_store_last(stage: Stage, tmp_path: Path) -> None:
    assert stage.play(all_ready) == 0
    ends = sorted(tmp_path.glob("*.ended"), key=lambda note: note.stat().st_mtime_ns)
    assert [note.stem for note in ends if note.stem != "health-checker"] == ["worker", "api", "store"]


def test_a_second_signal_ends_what_does_not_stop(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def scene(stage: Stage) -> None:
        all_ready(stage)
        os.kill(os.getpid(), signal.SIGTERM)
        eventually(lambda: "stopping" in caplog.text)  # two at once would count as one

    assert stage.play(scene, worker=["stubborn"]) == 0
    assert "did not stop within" not in caplog.text


def test_quit_waits_for_nobody(stage: Stage) -> None:
    def scene(stage: Stage) -> None:
        all_ready(stage)
        os.kill(os.getpid(), signal.SIGQUIT)
        eventually(lambda: not any(map(alive, stage.pids("worker"))))

    assert stage.play(scene, worker=["stubborn"]) == 0
