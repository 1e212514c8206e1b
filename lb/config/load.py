"""From flags, environment and config.json to one Config; all that is wrong comes out at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from lb.config import environment
from lb.config.model import Config
from lb.config.problems import Place, describe
from lb.config.sections import Section, is_section
from lb.errors import ConfigError

DEFAULT_FILE = Path("config.json")
#: Names the file where no flag does.
FILE_VARIABLE = "LB_CONFIG"

#: Flags whose name is not the setting's: they are given once per entry.
_FLAGS = {"servers": "server"}

#: Settings that are called more shortly where they stand alone, in flags and variables.
_SHORT_NAMES = {"access_log_path": "access_log"}

Values = dict[str, Any]  # a JSON object; checked by Config


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that can be set, and what it is called everywhere."""

    name: str  # in `overrides`: its attributes joined by "_", such as "timeouts_connect"
    keys: tuple[str, ...]  # in the file: ("timeouts", "connect")
    field: FieldInfo

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"LB_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """Its command-line option, where a command has one."""
        return f"--{_FLAGS.get(self.name, self.name).replace('_', '-')}"

    @property
    def secret(self) -> bool:
        """Whether people must not be shown its value."""
        return not self.field.repr

    def from_text(self, text: str) -> object:
        """Take the value of an environment variable: lists are separated by commas."""
        if get_origin(self.field.annotation) is not tuple:
            return text
        return [part.strip() for part in text.split(",") if part.strip()]


def settings(
    section: type[Section] = Config, name: str = "", keys: tuple[str, ...] = ()
) -> Iterator[Setting]:
    """List every setting, in the order of the reference."""
    for attribute, field in section.model_fields.items():
        own_name = name + attribute.removesuffix("_seconds")
        own_keys = (*keys, field.alias or attribute)
        if is_section(field.annotation):
            yield from settings(field.annotation, f"{own_name}_", own_keys)
        else:
            yield Setting(_SHORT_NAMES.get(own_name, own_name), own_keys, field)


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Config:
    """Read the configuration. An override wins over `LB_<NAME>`, that over the file, that over the default.

    The file is `path`, else what `LB_CONFIG` names, else `config.json` if it exists. `overrides` holds flags
    by `Setting.name`; None and an empty tuple mean that the flag was not given, and an empty variable counts
    as unset. Raises ConfigError with all problems.
    """
    return validate(*collect(path, environ, overrides))


def collect(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]
) -> tuple[Values, dict[Place, str], str]:
    """Return what is set, as `load` takes it: the values, unchecked, what set them, and the file's name.

    A value that neither a flag nor a variable has set is from the file.
    """
    if unknown := overrides.keys() - {setting.name for setting in settings()}:
        raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
    path = path or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    values = _read(path) if path else {}
    origins: dict[Place, str] = {}
    for setting in settings():
        override = overrides.get(setting.name)
        if override is not None and override != ():
            _put(values, setting.keys, list(override) if isinstance(override, tuple) else override)
            origins[setting.keys] = setting.flag
        elif text := environment.value_of(environ, setting.variable):
            _put(values, setting.keys, setting.from_text(text))
            origins[setting.keys] = f"environment {setting.variable}"
    return values, origins, str(path) if path else "configuration"


def pin_file(environ: MutableMapping[str, str]) -> None:
    """Have later loads read `config.json` because it is here now: if it is gone then, that is a mistake.

    Else a reload at the moment in which somebody replaces the file would find no servers, and remove all.
    """
    if not environ.get(FILE_VARIABLE) and DEFAULT_FILE.exists():
        environ[FILE_VARIABLE] = str(DEFAULT_FILE)


def environment_warnings(environ: Mapping[str, str]) -> list[str]:
    """Tell of `LB_…` variables that have no effect."""
    return environment.warnings(environ, [setting.variable for setting in settings()])


def to_json(config: Config) -> str:
    """Write the effective configuration, secrets included, so that `from_json` gives an equal one."""
    return config.model_dump_json(by_alias=True)


def from_json(text: str) -> Config:
    """Read what `to_json` wrote."""
    return validate(_parse(text, "configuration"), {}, "configuration")


def _read(path: Path) -> Values:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: expected UTF-8 text; byte {error.start} is not"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    return _parse(text, str(path))


def _parse(text: str, file: str) -> Values:
    try:
        values = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ConfigError([f"{file}: {place}: not valid JSON: {error.msg}"]) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{file}: not usable JSON: {error}"]) from None
    if not isinstance(values, dict):
        raise ConfigError([f'{file}: expected a JSON object, such as {{"port": ":8080"}}'])
    return values


def _object(pairs: list[tuple[str, object]]) -> Values:
    repeated = [f'"{key}"' for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"given more than once: {', '.join(repeated)}")
    return dict(pairs)


def _put(values: Values, keys: tuple[str, ...], value: object) -> None:
    """Set a nested value. A section that is no object stays as it is: checking it reports that."""
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            return
    values[keys[-1]] = value


def validate(values: Values, origins: Mapping[Place, str], file: str) -> Config:
    """Check values of the file's form; ConfigError tells all that is wrong, by where it came from."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe(error, values, origins, file)) from None
