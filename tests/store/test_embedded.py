from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lb.errors import ConfigError
from lb.store import embedded
from tests.support import Valkey


def test_the_store_is_open_to_its_user_alone(valkey: Valkey) -> None:
    socket_file = embedded.socket_path(valkey.data_dir)
    assert stat.S_IMODE(socket_file.stat().st_mode) == 0o600
    assert valkey.url == f"unix://{socket_file}"


def test_the_store_listens_on_its_socket_only_and_keeps_what_it_is_told(connection) -> None:
    config = connection.config_get("port", "appendonly", "appendfsync", "save")
    assert config == {"port": "0", "appendonly": "yes", "appendfsync": "everysec", "save": ""}


def test_a_relative_data_directory_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert embedded.socket_url(Path(".lb")) == f"unix://{tmp_path}/.lb/store.sock"
    assert str(tmp_path / ".lb") in embedded.command(Path(".lb"))


def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for path in (Path(".lb"), tmp_path / "circle"):
        with pytest.raises(ConfigError, match=f"dataDir: {path} leads nowhere"):
            embedded.socket_path(path)


def test_a_path_that_is_too_long_for_a_socket_is_refused_with_its_length() -> None:
    fits = Path("/" + "d" * (107 - len("//store.sock")))
    assert len(str(embedded.socket_path(fits))) == 107
    with pytest.raises(
        ConfigError, match=r"dataDir: /d+/store\.sock has 108 bytes.* at most 107.*shorter path"
    ):
        embedded.socket_url(Path(f"{fits}d"))


def test_a_platform_without_binary_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"no embedded store.*is not installed.*--redis URL"):
        embedded.binary()


def test_no_client_library_is_loaded_to_start_the_store() -> None:
    script = "import sys, lb.store.embedded as e; e.binary(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert not {"redis", "gevent", "valkey", "hiredis"} & set(loaded.split())
