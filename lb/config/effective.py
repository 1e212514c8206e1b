"""The settings in force, for people: the value of each and where it came from, with secrets hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lb.config.load import Setting, collect, settings, to_json, validate
from lb.config.store_url import masked


def show(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> str:
    """Return one line per setting: its key in the file, its value, its origin. ConfigError as from `load`."""
    rows = list(_rows(path, environ, overrides))
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    value_width = min(value_width, 40)  # a long list moves only its own origin to the right
    return "\n".join(f"{key:{key_width}}  {value:{value_width}}  {origin}" for key, value, origin in rows)


def _rows(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> Iterator[tuple[str, str, str]]:
    values, origins, file = collect(path, environ, overrides)
    effective = json.loads(to_json(validate(values, origins, file)))
    for setting in settings():
        in_file = file if setting.value_in(values) is not None else "default"
        value = _hidden(setting, setting.value_in(effective))
        shown = "-" if value is None else json.dumps(value, ensure_ascii=False)
        yield ".".join(setting.keys), shown, origins.get(setting.keys, in_file)


def _hidden(setting: Setting, value: Any) -> Any:
    if value is None or not setting.secret:
        return value
    return masked(value) if setting.name == "redis" else "***"
