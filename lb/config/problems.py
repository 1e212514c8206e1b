"""Turns pydantic's findings into sentences: where, what is wrong, what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lb.config.model import Config
from lb.config.sections import Section, ServerEntry, is_section
from lb.config.values import nearest, printable

#: Place of a value: keys of objects, positions in lists.
Place = tuple[str | int, ...]

_SENTENCES = {
    "missing": "required, but missing",
    "string_type": "expected a string",
    "path_type": "expected a path",
    "tuple_type": "expected a list",
}


def describe(error: ValidationError, values: Any, origins: Mapping[Place, str], file: str) -> list[str]:
    """Return one line per finding.

    `origins` names the flag or variable that has set a place; everything else came from `file`. Only the
    settings' own parsers show values, as they know which are secret.
    """
    findings = error.errors(include_url=False)
    return [printable(_line(finding, values, origins, file)) for finding in findings]


def _line(finding: ErrorDetails, values: Any, origins: Mapping[Place, str], file: str) -> str:
    place = _written_place(finding["loc"], values)
    sentence = _sentence(finding)
    for length in range(len(place), 0, -1):
        if origin := origins.get(place[:length]):
            return f"{origin}: {sentence}"
    return f"{file}: {_spell(place)}{sentence}"


def _written_place(place: Place, values: Any) -> Place:
    """Cut off what parsing has added below the value that the user wrote, as with a server's bare URL."""
    for depth, part in enumerate(place):
        if type(values) not in {dict, list}:
            return place[:depth]
        try:
            values = values[part]
        except (KeyError, IndexError):
            return place
    return place


def _spell(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{text.removeprefix('.')}: " if text else ""


def _sentence(finding: ErrorDetails) -> str:
    kind = finding["type"]
    if kind == "value_error":
        return str(finding["ctx"]["error"])
    if kind == "extra_forbidden":
        return _unknown_key(finding["loc"])
    if kind == "model_type":
        return f"expected an object; known in it: {', '.join(_keys(_section_at(finding['loc'])))}"
    return _SENTENCES.get(kind, finding["msg"])


def _unknown_key(place: Place) -> str:
    known = _keys(_section_at(place[:-1]))
    *sections, key = map(str, place)
    beside = f"{sections[-1]}{key[:1].upper()}{key[1:]}" if sections else ""
    if beside in _keys(Config):
        return f'unknown key; did you mean "{beside}", beside "{sections[-1]}"?'
    near = nearest(key, known)
    return f'unknown key; did you mean "{near}"?' if near else f"unknown key; known here: {', '.join(known)}"


def _keys(section: type[Section]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _section_at(place: Place) -> type[Section]:
    section: type[Section] = Config
    for part in place:
        if part == "servers":
            return ServerEntry
        kinds = [field.annotation for field in section.model_fields.values() if field.alias == part]
        section = next(filter(is_section, kinds))
    return section
