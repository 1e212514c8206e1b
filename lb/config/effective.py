"""The settings in force, for people: each with its value and where that came from, secrets hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lb.config.load import Setting, collect, settings, to_json, validate
from lb.config.store_url import masked


def show(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> str:
    """Write one line per setting: its key in the file, its value, its origin. ConfigError as `load`."""
    rows = list(_rows(path, environ, overrides))
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    value_width = min(value_width, 40)  # a long list pushes its own origin only
    return "\n".join(f"{key:{key_width}}  {value:{value_width}}  {origin}" for key, value, origin in rows)


def _rows(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> Iterator[tuple[str, str, str]]:
    values, origins, file = collect(path, environ, overrides)
    effective = json.loads(to_json(validate(values, origins, file)))
    for setting in settings():
        in_file = file if _at(values, setting.keys) is not None else "default"
        value = _hidden(setting, _at(effective, setting.keys))
        shown = "-" if value is None else json.dumps(value, ensure_ascii=False)
        yield ".".join(setting.keys), shown, origins.get(setting.keys, in_file)


def _hidden(setting: Setting, value: Any) -> Any:
    if value is None or not setting.secret:
        return value
    return masked(value) if setting.name == "redis" else "***"


def _at(values: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values
