from __future__ import annotations

from pathlib import Path

import pytest

from lb.config.effective import show
from lb.errors import ConfigError


def shown(tmp_path: Path, environ: dict[str, str], **overrides: object) -> dict[str, list[str]]:
    """Value and origin of each setting."""
    path = tmp_path / "config.json"
    path.write_text(
        '{"maxRetries": 7, "timeouts": {"connect": "1s"}, "admin": {"token": "hunter2-hunter2-hunter2"}}'
    )
    lines = show(path, environ, overrides).replace(str(path), "FILE").splitlines()
    return {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines}


def test_each_setting_says_where_it_came_from(tmp_path: Path) -> None:
    rows = shown(tmp_path, {"LB_LIMITS_CLIENTS": "9"}, port=":1")
    assert rows["port"] == ['":1"', "--port"]
    assert rows["limits.clients"] == ["9", "environment LB_LIMITS_CLIENTS"]
    assert rows["maxRetries"] == ["7", "FILE"]
    assert rows["timeouts.connect"] == ['"1s"', "FILE"]
    assert rows["timeouts.idle"] == ['"1m"', "default"]
    assert rows["workers"] == ["-", "default"]


def test_secrets_are_hidden(tmp_path: Path) -> None:
    rows = shown(tmp_path, {"LB_REDIS": "redis://user:hunter2@h"})
    assert rows["redis"] == ['"redis://user:***@h"', "environment LB_REDIS"]
    assert rows["admin.token"] == ['"***"', "FILE"]
    assert "hunter2" not in str(rows)


def test_what_is_wrong_is_told_as_ever(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LB_WORKERS"):
        shown(tmp_path, {"LB_WORKERS": "many"})
