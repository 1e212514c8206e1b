"""Renewals step by step, over children that only play their roles."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lb.config import Config, load
from lb.errors import ConfigError
from lb.processes import child, renewal
from lb.processes.crew import Crew, muster
from lb.processes.renewal import Renewals
from tests.processes import actor
from tests.support import eventually

SETTINGS = {"LB_PORT": "127.0.0.1:0", "LB_ADMIN_LISTEN": "127.0.0.1:0", "LB_REDIS": "redis://h"}


def settings(**more: str) -> Config:
    return load(None, {**SETTINGS, "LB_WORKERS": "2", **more}, {})


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Crew]:
    monkeypatch.setattr(child, "PROGRAM", (sys.executable, actor.__file__))
    monkeypatch.setenv(actor.NOTES, str(tmp_path))
    monkeypatch.setenv(actor.PLAY, '{"reconcile": ["done"]}')
    with muster(settings(), {}, demo=False) as crew:
        yield crew
        eventually(lambda: end(crew))


def end(crew: Crew) -> bool:
    for one in crew.children:
        one.kill()
        if one.reap(0.0) and one.control:
            one.control.close()
    return not any(one.running for one in crew.children)


def look_after(crew: Crew) -> bool:
    """Do what the supervisor's loop does beside the renewal."""
    now = time.monotonic()
    for one in crew.children:
        one.hear(now)
        if one.reap(now) and one.control:
            one.control.close()
            one.control = None
        if one.due(now):
            one.start(now)
    return True


class Story:
    """What renewals do, each in two steps."""

    def __init__(self, *, at_rest: bool = False) -> None:
        self.told: list[str] = []
        self._at_rest = at_rest  # a reload comes to a step at which another may take its place
        self.renewals = Renewals(lambda: self._steps("reload"), lambda: self._steps("upgrade"))

    def _steps(self, name: str) -> Iterator[bool]:
        self.told.append(f"{name} begins")
        yield name == "reload" and self._at_rest
        self.told.append(f"{name} is done")

    def until_done(self) -> list[str]:
        while not self.renewals.go_on():
            assert len(self.told) < 9
        assert not self.renewals.go_on()
        return self.told


def test_without_a_renewal_nothing_is_done() -> None:
    assert not Story().renewals.go_on()


@pytest.mark.parametrize("number", [1, 9])
def test_reloads_that_are_asked_for_during_another_are_one_after_it(number: int) -> None:
    """One that was broken off would leave workers of two configurations, should the next not be valid."""
    story = Story()
    story.renewals.reload()
    assert not story.renewals.go_on()
    for _ in range(number):
        story.renewals.reload()
    assert story.until_done() == ["reload begins", "reload is done"] * 2


def test_an_upgrade_comes_before_a_reload_that_was_asked_for_earlier() -> None:
    """If it becomes another program nothing comes after it, and that one reads the configuration too."""
    story = Story()
    story.renewals.reload()
    story.renewals.upgrade()
    assert story.until_done() == ["upgrade begins", "upgrade is done", "reload begins", "reload is done"]


def test_what_only_waits_to_be_tried_again_makes_room() -> None:
    story = Story(at_rest=True)
    story.renewals.reload()
    assert not story.renewals.go_on()
    story.renewals.upgrade()
    assert story.until_done() == ["reload begins", "upgrade begins", "upgrade is done"]


def play(crew: Crew, steps: Iterator[bool]) -> None:
    """Let a renewal take its steps until it is done."""
    eventually(lambda: look_after(crew) and next(steps, crew) is crew, seconds=20)


def begin(one: child.Child) -> None:
    one.start(time.monotonic())


def reload(crew: Crew, config: Callable[[], Config]) -> None:
    play(crew, renewal.reload(crew, config, begin))


def test_each_worker_is_replaced(crew: Crew) -> None:
    old = [*crew.workers]
    for worker in old:
        begin(worker)
    eventually(lambda: look_after(crew) and all(worker.ready for worker in old))
    reload(crew, lambda: settings(LB_WORKERS="3", LB_STRATEGY="random"))
    assert crew.config.strategy == "random"
    assert len(crew.workers) == 3
    assert all(worker.ready and worker not in old for worker in crew.workers)
    eventually(lambda: look_after(crew) and not any(worker.running for worker in old))


def test_problems_are_all_told_and_change_nothing(crew: Crew, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Config:
        raise ConfigError(["port: wrong", "servers: wrong too"])

    before, workers = crew.config, [*crew.workers]
    reload(crew, broken)
    assert [record.getMessage() for record in caplog.records] == [
        "reload: port: wrong",
        "reload: servers: wrong too",
        "reload: the configuration is not valid, all stays as it was",
    ]
    assert (crew.config, crew.workers) == (before, workers)


def test_all_stays_as_it_was_if_one_of_the_new_workers_cannot_start(
    crew: Crew, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(actor.PLAY, '{"reconcile": ["done"], "worker": ["live", "live", "live", "fail"]}')
    monkeypatch.setattr(renewal, "FAILED_STARTS", 1)
    before, old = crew.config, [*crew.workers]
    for worker in old:
        begin(worker)
    eventually(lambda: look_after(crew) and all(worker.ready for worker in old))
    reload(crew, lambda: settings(LB_STRATEGY="random"))
    assert (crew.config, crew.workers) == (before, old)
    assert all(worker.running for worker in old)
    eventually(lambda: look_after(crew) and not any(worker.running for worker in crew.retired))
    assert len([*tmp_path.glob("reconcile *")]) == 2  # the store has the servers of before again
    assert "reload: a new worker could not start, see above; all stays as it was" in caplog.text


def test_the_old_workers_go_when_all_of_the_new_serve(crew: Crew, tmp_path: Path) -> None:
    old = [*crew.workers]
    for worker in old:
        begin(worker)
    eventually(lambda: look_after(crew) and all(worker.ready for worker in old))
    steps = renewal.reload(crew, lambda: settings(LB_STRATEGY="random"), begin)
    eventually(lambda: look_after(crew) and next(steps, crew) is not crew and len(crew.workers) == 4)
    assert crew.workers[:2] == old
    play(crew, steps)
    assert len(crew.workers) == 2
    assert not set(old) & {*crew.workers}


@pytest.mark.parametrize("role", ["reconcile", "worker"])
def test_what_does_not_work_is_given_up(crew: Crew, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    monkeypatch.setenv(actor.PLAY, f'{{"reconcile": ["done"], "{role}": ["fail"]}}')
    monkeypatch.setattr(renewal, "FAILED_STARTS", 1)
    before, workers = crew.config, [*crew.workers]
    reload(crew, lambda: settings(LB_STRATEGY="random"))
    assert (crew.config, crew.workers) == (before, workers)


def test_a_rehearsal_that_fails_is_the_end_of_an_upgrade(
    crew: Crew, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(actor.PLAY, '{"rehearse": ["fail", "done"]}')
    gone: list[bool] = []
    play(crew, renewal.rehearse(crew, ["--port", ":1"], begin, lambda: gone.append(True)))
    assert not gone
    assert "upgrade: the new program cannot start (exit status 3)" in caplog.text
    play(crew, renewal.rehearse(crew, ["--port", ":1"], begin, lambda: gone.append(True)))
    assert gone


def test_what_somebody_killed_is_run_again(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an upgrade would end half-way: the new program among workers of the old one."""
    monkeypatch.setenv(actor.PLAY, '{"reconcile": ["die", "done"], "rehearse": ["die", "done"]}')
    gone: list[bool] = []
    play(crew, renewal.rehearse(crew, [], begin, lambda: gone.append(True)))
    assert gone
    reload(crew, lambda: settings(LB_STRATEGY="random"))
    assert crew.config.strategy == "random"


def test_workers_of_the_program_before_do_not_stay(
    crew: Crew, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is away just when the program was replaced must not leave two generations."""
    monkeypatch.setenv(actor.PLAY, '{"reconcile": ["fail", "fail", "done"]}')
    monkeypatch.setattr(renewal, "AGAIN_SECONDS", 0.05)
    with subprocess.Popen(["sleep", "60"]) as process:
        crew.workers[0].adopt(process.pid, None, time.monotonic(), ready=True)
        reload(crew, lambda: settings(LB_STRATEGY="random"))
        (old,) = crew.retired
        eventually(lambda: old.reap(0.0))
        process.returncode = 0  # it was reaped behind its back
    assert crew.config.strategy == "random"
    assert caplog.text.count("upgrade: workers of the program before go on; next try in 0.05 s") == 2


def test_what_cannot_change_is_kept_and_told(caplog: pytest.LogCaptureFixture) -> None:
    running = settings()
    config = renewal.with_fixed(settings(LB_PORT=":1", LB_REDIS="redis://other", LB_MAX_RETRIES="7"), running)
    assert (config.port, config.redis, config.max_retries) == (running.port, running.redis, 7)
    assert [record.getMessage().split()[1] for record in caplog.records] == ["port", "redis"]


def test_a_token_cannot_go_while_others_can_reach_the_api() -> None:
    running = settings(LB_ADMIN_LISTEN="0.0.0.0:1", LB_ADMIN_TOKEN="secret-of-sixteen")
    with pytest.raises(ConfigError, match="token: required"):
        renewal.with_fixed(settings(), running)
