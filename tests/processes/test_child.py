from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.processes import child as module
from lb.processes.child import Child, Role
from tests.processes import actor
from tests.support import eventually


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Child]:
    """A child that falls silent once it is ready."""
    monkeypatch.setattr(module, "PROGRAM", (sys.executable, actor.__file__))
    monkeypatch.setenv(actor.PLAY, json.dumps({"worker": ["mute"]}))
    monkeypatch.setenv(actor.NOTES, str(tmp_path))
    child = Child(Role("worker", grace_seconds=2.0))
    yield child
    child.kill()
    eventually(lambda: child.reap(0.0) or not child.running)
    if child.control:
        child.control.close()


def test_a_working_directory_that_was_deleted_is_no_hindrance(tmp_path: Path) -> None:
    """As by a deployment; the next reload or upgrade begins there."""
    program = (
        "import os; os.rmdir(os.getcwd())\n"
        "from lb.processes.child import PROGRAM\n"
        "assert PROGRAM[1:] == ('-P', '-m', 'lb')"
    )
    (tmp_path / "gone").mkdir()
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path / "gone", check=True)


def start_and_end(child: Child, started: float, ended: float) -> None:
    child.start(started)
    control = child.control
    child.kill()
    eventually(lambda: child.reap(ended))
    assert control
    control.close()


def become_ready(child: Child, now: float) -> None:
    child.start(now)
    assert child.control
    select.select([child.control], [], [], 10)
    assert child.hear(now)
    assert child.ready


def test_restarts_come_later_each_time_until_a_child_lived_long(child: Child) -> None:
    delays = []
    for _ in range(9):
        start_and_end(child, 100.0, 101.0)
        delays.append(child.restart_delay(101.0))
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    start_and_end(child, 200.0, 200.0 + module.HEALTHY_SECONDS)
    assert child.restart_delay(200.0 + module.HEALTHY_SECONDS) == pytest.approx(0.1)


def test_a_start_that_took_too_long_has_longer_the_next_time(child: Child) -> None:
    """A machine that is too busy to start it in time would else never be done with killing and starting."""
    allowed = []
    for _ in range(6):
        child.start(100.0)
        child.enforce(child.deadline() - 0.1)
        assert child.running
        allowed.append(child.deadline() - 100.0)
        child.enforce(child.deadline())
        assert child.deadline() is None  # it is killed
        child.control.close()
        eventually(lambda: child.reap(200.0))
    assert allowed == [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]
    become_ready(child, 100.0)
    child.kill()
    child.control.close()
    eventually(lambda: child.reap(200.0))
    child.start(300.0)
    assert child.deadline() == 330.0


def test_a_restart_is_due_after_its_delay(child: Child) -> None:
    start_and_end(child, 100.0, 101.0)
    assert child.deadline() == pytest.approx(101.1)
    assert not child.due(101.05)
    assert child.due(101.15)


def test_failed_starts_are_counted_until_one_gets_ready(child: Child) -> None:
    start_and_end(child, 100.0, 100.0)
    assert child.failed_starts == 1
    become_ready(child, 101.0)
    assert child.failed_starts == 0


def test_who_has_ended_is_not_ready(child: Child) -> None:
    become_ready(child, 100.0)
    child.kill()
    eventually(lambda: child.reap(101.0))
    assert not child.ready
    assert child.failed_starts == 0


@pytest.mark.parametrize("ready", [True, False])
def test_who_is_not_ready_has_no_clients_to_wait_for_when_it_retires(child: Child, *, ready: bool) -> None:
    become_ready(child, 100.0) if ready else child.start(100.0)
    child.retire(101.0, 60.0)
    eventually(lambda: child.reap(102.0))
    assert child.exit_code == (-signal.SIGUSR2 if ready else -signal.SIGTERM)
    assert child.idle


def test_a_child_that_falls_silent_is_killed(child: Child, caplog: pytest.LogCaptureFixture) -> None:
    become_ready(child, 100.0)
    assert child.deadline() == 100.0 + module.HUNG_SECONDS
    child.enforce(109.9)
    assert not child.reap(109.9)
    child.enforce(110.0)
    eventually(lambda: child.reap(110.0))
    assert child.exit_code == -signal.SIGKILL
    assert "has given no sign of life for 10 s, replacing it" in caplog.text
    assert child.due(110.2)


def test_a_signal_for_a_child_that_starts_waits_until_it_can_take_it(child: Child) -> None:
    child.start(0.0)
    child.tell(signal.SIGUSR1)  # it would end the process now
    assert child.control
    select.select([child.control], [], [], 10)
    assert child.hear(0.0)
    assert child.ready
    eventually(lambda: child.reap(0.0), seconds=10)
    assert child.exit_code == -signal.SIGUSR1


def test_silence_is_excused_while_the_supervisor_could_not_hear(child: Child) -> None:
    become_ready(child, 100.0)
    child.excuse(500.0)
    child.enforce(500.0)
    assert child.deadline() == 500.0 + module.HUNG_SECONDS


def test_a_child_that_does_not_stop_is_killed_after_its_grace(
    child: Child, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(actor.PLAY, json.dumps({"worker": ["stubborn"]}))
    become_ready(child, 100.0)
    child.stop(100.0)
    child.stop(101.0)  # asked again, it gets no more time
    assert child.deadline() == 102.0
    child.enforce(102.0)
    eventually(lambda: child.reap(102.0))
    assert "did not stop within 2 s, killing it" in caplog.text


def test_a_program_that_cannot_be_executed_is_tried_again_later(
    child: Child, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PROGRAM", ("/no/such/program",))
    child.start(100.0)
    assert not child.running
    assert child.due(100.2)
    assert "cannot start worker: " in caplog.text


def test_a_child_that_runs_once_is_only_started_again_if_it_never_ran(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Child(Role("reconcile", once=True))
    with monkeypatch.context() as patch:
        patch.setattr(module, "PROGRAM", ("/no/such/program",))
        once.start(100.0)
    assert once.due(100.2)
    start_and_end(once, 100.2, 101.0)
    assert not once.due(200.0)


@pytest.mark.parametrize("retired", [False, True])
def test_who_was_asked_to_end_before_it_was_adopted_is_replaced_unless_retired(
    child: Child, *, retired: bool
) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    child.adopt(process.pid, None, 100.0, ready=True, kill_at=105.0, retired=retired)
    eventually(lambda: child.reap(101.0))
    process.returncode = 0  # it was reaped behind its back
    assert child.idle == retired
    assert child.due(101.0) == (not retired)
