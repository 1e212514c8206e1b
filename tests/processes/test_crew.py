from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from lb.config import Config, from_json, load
from lb.errors import LBError
from lb.metrics import scoreboard
from lb.metrics.scoreboard import Scoreboard
from lb.processes import handover
from lb.processes.child import Child
from lb.processes.crew import Crew, inherit, muster

ANYWHERE = {"LB_PORT": "127.0.0.1:0", "LB_ADMIN_LISTEN": "127.0.0.1:0"}


def config_in(directory: Path, **settings: str) -> Config:
    return load(None, {**ANYWHERE, "LB_DATA_DIR": str(directory), **settings}, {})


def test_one_host_has_a_store_workers_and_helpers(tmp_path: Path) -> None:
    with muster(config_in(tmp_path, LB_WORKERS="3"), {}, demo=False) as crew:
        assert [child.role.name for child in crew.children] == [
            "store",
            "reconcile",
            "rehearse",
            *3 * ["worker"],
            "health-checker",
            "api",
        ]
        assert not any(child.running for child in crew.children)


def test_a_given_store_needs_neither_one_of_its_own_nor_the_data_directory(tmp_path: Path) -> None:
    """So several hosts can be tried out side by side."""
    config = config_in(tmp_path / "new", LB_REDIS="redis://127.0.0.1:1")
    with muster(config, {}, demo=False) as crew, muster(config, {}, demo=False):
        assert crew.foundation == ()
    assert not (tmp_path / "new").exists()


def test_a_demo_has_servers_too(tmp_path: Path) -> None:
    with muster(config_in(tmp_path), {}, demo=True) as crew:
        assert [child.role.name for child in crew.foundation] == ["servers", "store"]


def test_all_is_given_back_if_something_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        admin = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(LBError, match="cannot listen on"),
            muster(config_in(tmp_path, LB_ADMIN_LISTEN=admin), {}, demo=False),
        ):
            pytest.fail("one port was taken")
    with muster(config_in(tmp_path), {}, demo=False):
        pass  # neither the lock nor the client port is held


def test_a_data_directory_too_deep_for_a_socket_is_refused_before_it_is_made(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    with pytest.raises(LBError, match="dataDir: "), muster(config_in(deep), {}, demo=False):
        pytest.fail("no store could listen there")
    assert not deep.exists()


def test_workers_get_the_grace_that_is_configured(tmp_path: Path) -> None:
    with muster(config_in(tmp_path, LB_GRACEFUL_TIMEOUT="30s"), {}, demo=False) as crew:
        assert crew.workers[0].role.grace_seconds > 30


def test_each_worker_has_a_slot_and_no_two_that_live_the_same(tmp_path: Path) -> None:
    with muster(config_in(tmp_path, LB_WORKERS="2"), {}, demo=False) as crew:
        first, second = crew.workers
        third = crew.hire()
        assert slots(crew) == [0, 1, 2]
        assert option(third, "--slot") == "2"

        crew.retire(second, 0.0)  # it never ran
        assert crew.hire().role.slot == 1
        crew.retired.append(first)
        crew.workers.remove(first)
        assert crew.hire().role.slot == 3
        crew.settle()
        assert slots(crew) == [2, 1, 3]


def test_who_is_there_starts_with_another_configuration_only_when_that_is_settled(tmp_path: Path) -> None:
    """A reload may come to nothing: a worker that died meanwhile must not bring its configuration back."""
    before = config_in(tmp_path, LB_WORKERS="1")
    after = config_in(tmp_path, LB_WORKERS="1", LB_STRATEGY="random")
    with muster(before, {}, demo=False) as crew:
        (old,) = crew.workers
        crew.adapt(after)
        new = crew.hire()
        assert [config_of(child) for child in (old, new, crew.reconcile)] == [before, after, after]
        crew.settle()
        assert all(config_of(child) == after for child in crew.children if child is not crew.rehearsal)


def test_a_new_program_is_tried_with_the_configuration_in_force_too(tmp_path: Path) -> None:
    with muster(config_in(tmp_path), {}, demo=False) as crew:
        rehearsal = crew.rehearse_with(["--port", ":1"])
        assert config_of(rehearsal) == crew.config
        assert option(rehearsal, "--port") == ":1"


def config_of(child: Child) -> Config:
    return from_json(handover.read(int(option(child, "--config-fd"))))


def slots(crew: Crew) -> list[int | None]:
    return [worker.role.slot for worker in crew.workers]


def option(child: Child, name: str) -> str:
    return child.role.options[child.role.options.index(name) + 1]


def test_a_slot_is_vacated_when_its_process_has_ended(tmp_path: Path) -> None:
    with muster(config_in(tmp_path, LB_WORKERS="2"), {}, demo=False) as crew:
        (api,) = (helper for helper in crew.helpers if helper.role.name == "api")
        board = Scoreboard(int(option(api, "--scoreboard-fd")))
        assert option(crew.workers[0], "--scoreboard-fd") == option(api, "--scoreboard-fd")
        for slot in (0, 1):
            board.head(slot)[0] = 4711
        crew.miss(crew.workers[0])
        crew.miss(api)
        assert board.live == [1]


def test_a_scoreboard_of_another_layout_is_left_to_those_who_use_it(tmp_path: Path) -> None:
    config = config_in(tmp_path, LB_REDIS="redis://127.0.0.1:1", LB_WORKERS="1")
    with muster(config, {}, demo=False) as crew:
        old = scoreboard.create("web1")
        os.pwrite(old, b"lb scoreboard 0", 0)
        estate = replace(
            crew.bequeath(),
            client_fd=os.dup(crew.client.fileno()),
            admin_fd=os.dup(crew.admin.fileno()),
            scoreboard_fd=old,
        )
        with inherit(estate, 0.0, demo=False) as heir:
            assert scoreboard.is_known(int(option(heir.hire(), "--scoreboard-fd")))
