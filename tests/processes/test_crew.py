from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lb.config import Config, load
from lb.errors import LBError
from lb.processes.crew import muster

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
