"""Makes one Config out of flags, environment and config.json; all that is wrong is reported at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from lb.config import environment
from lb.config.model import Config
from lb.config.problems import Place, describe
from lb.config.sections import Section, is_section
from lb.errors import ConfigError

DEFAULT_FILE = Path("config.json")
#: The variable that names the file, unless a flag does.
FILE_VARIABLE = "LB_CONFIG"

#: Settings whose flag has another name, as it is given once for each entry.
_FLAGS = {"servers": "server"}

#: Settings that have a shorter name in flags and variables.
_SHORT_NAMES = {"access_log_path": "access_log"}

Values = dict[str, Any]  # a JSON object, which Config checks


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that can be set, and what it is called in each place."""

    name: str  # in `overrides`; its attributes joined by "_", such as "timeouts_connect"
    keys: tuple[str, ...]  # in the file, such as ("timeouts", "connect")
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
        """Return the value that an environment variable means; commas separate the entries of lists."""
        if get_origin(self.field.annotation) is not tuple:
            return text
        return [part.strip() for part in text.split(",") if part.strip()]

    def value_in(self, values: Any) -> Any:
        """Return its value in a JSON object of settings; None if it is not there."""
        for key in self.keys:
            values = values.get(key) if isinstance(values, dict) else None
        return values


def settings(
    section: type[Section] = Config, name: str = "", keys: tuple[str, ...] = ()
) -> Iterator[Setting]:
    """Yield every setting, in the order of the reference."""
    for attribute, field in section.model_fields.items():
        own_name = name + attribute.removesuffix("_seconds")
        own_keys = (*keys, field.alias or attribute)
        if is_section(field.annotation):
            yield from settings(field.annotation, f"{own_name}_", own_keys)
        else:
            yield Setting(_SHORT_NAMES.get(own_name, own_name), own_keys, field)


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    default: Path | None = DEFAULT_FILE,
) -> Config:
    """Read the configuration; ConfigError lists everything that is wrong with it.

    An override wins over the variable `LB_<NAME>`, which wins over the file, which wins over the default. The
    file is `path`, or else the one that `LB_CONFIG` names, or else `default` if it exists. `overrides` holds
    flags by `Setting.name`; None and an empty tuple mean that the flag was not given. An empty variable
    counts as unset.
    """
    return validate(*collect(path, environ, overrides, default))


def collect(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    default: Path | None = DEFAULT_FILE,
) -> tuple[Values, dict[Place, str], str]:
    """Gather what `load` checks: the values, which flag or variable has set each, and the file's name.

    Whatever neither a flag nor a variable has set comes from the file.
    """
    if unknown := overrides.keys() - {setting.name for setting in settings()}:
        raise TypeError(f"no such settings: {', '.join(sorted(unknown))}")
    path = path or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    if path is None and default and may_exist(default):
        path = default
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


def may_exist(file: Path) -> bool:
    """Whether a file exists; also if we may not know, as reading it then says so."""
    try:
        return file.exists()
    except OSError:
        return True


def pin_file(environ: MutableMapping[str, str]) -> None:
    """If `config.json` exists now, have later loads insist on it.

    Otherwise a reload at the very moment in which somebody replaces the file would find a configuration
    without servers, and would remove them all from the pool.
    """
    if not environ.get(FILE_VARIABLE) and may_exist(DEFAULT_FILE):
        environ[FILE_VARIABLE] = str(DEFAULT_FILE)


def environment_warnings(environ: Mapping[str, str]) -> list[str]:
    """Return warnings about `LB_…` variables that have no effect."""
    return environment.warnings(environ, [setting.variable for setting in settings()])


def to_json(config: Config) -> str:
    """Write a configuration, secrets included, so that `from_json` returns an equal one."""
    return config.model_dump_json(by_alias=True)


def from_json(text: str) -> Config:
    """Read what `to_json` wrote, perhaps in another version: settings that are unknown here are left out."""
    return validate(_parse(text, "configuration"), {}, "configuration", extra="ignore")


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
    """Set a nested value. What should be a section but is no object is left alone: the check reports it."""
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            return
    values[keys[-1]] = value


def validate(
    values: Values, origins: Mapping[Place, str], file: str, *, extra: Literal["ignore"] | None = None
) -> Config:
    """Check values in the form of the file; ConfigError lists all that is wrong, and where it came from.

    Unknown keys are wrong, unless `extra` says to ignore them.
    """
    try:
        return Config.model_validate(values, extra=extra)
    except ValidationError as error:
        raise ConfigError(describe(error, values, origins, file)) from None
