"""The reference of all settings for people, and the JSON Schema for editors; both are made from the model."""

from __future__ import annotations

import json
from typing import Any

from lb.config.load import Setting, settings, to_json
from lb.config.model import Config

_HEAD = """\
# Configuration

Written by `lb config --reference`; the texts are those of the code.

`lb` reads `config.json` in the working directory, or the file that `--config` or `LB_CONFIG` names. Each
setting can also be given in the environment, where lists are separated by commas; the most used have a flag
(`lb run --help`). A flag wins over the environment, that over the file, that over the default. Durations are
written `2s`, `500ms`, `1m30s`, `2d12h`, or as a number of milliseconds.

`lb check` reports everything that is wrong with a file. `lb config --show` prints the settings in force and
where each came from. `lb config --schema` prints a JSON Schema for editors, shipped as `config.schema.json`.
A running balancer reads the configuration again on SIGHUP; `port`, `admin.listen`, `redis` and `dataDir` take
a restart.
"""


def reference() -> str:
    """Return the reference of all settings, in Markdown."""
    defaults = json.loads(to_json(Config()))
    parts = [_HEAD]
    section: tuple[str, ...] | None = None
    for setting in sorted(settings(), key=lambda setting: len(setting.keys)):  # the sections come last
        if setting.keys[:-1] != section:
            section = setting.keys[:-1]
            parts.append(_heading(section))
        default = setting.value_in(defaults)
        shown = "" if default is None else f"`{json.dumps(default)}`"
        parts.append(
            f"| `{setting.keys[-1]}` | {shown} | {setting.field.description} | `{setting.variable}` |\n"
        )
    return "".join(parts)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    found, defaults = Config.model_json_schema(), json.loads(to_json(Config()))
    for part in (found, *found["$defs"].values()):
        for value in part["properties"].values():
            value.pop("title", None)
    for setting in settings():
        _property(found, setting)["default"] = setting.value_in(defaults)
    for value in found["properties"].values():
        if "$ref" in value:  # a section; each of its settings has a default of its own
            value.pop("default", None)
    entry = found["properties"]["servers"]["items"]
    found["properties"]["servers"]["items"] = {"anyOf": [{"type": "string"}, entry]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "lb"}


def schema_text() -> str:
    """Return the JSON Schema as the text of a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _heading(section: tuple[str, ...]) -> str:
    title = f"`{'.'.join(section)}`" if section else "Top level"
    return f"\n## {title}\n\n| Key | Default | Meaning | Variable |\n|---|---|---|---|\n"


def _property(found: dict[str, Any], setting: Setting) -> dict[str, Any]:
    """Find a setting in the schema."""
    place = found
    for key in setting.keys[:-1]:
        name = place["properties"][key]["$ref"].rpartition("/")[2]
        place = found["$defs"][name]
    value: dict[str, Any] = place["properties"][setting.keys[-1]]
    return value
