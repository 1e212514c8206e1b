"""Settings that are valid and most likely a mistake."""

from __future__ import annotations

from collections.abc import Iterator

from lb.config.sections import Section
from lb.config.values import format_duration

#: Durations below this are hardly meant: a number without a unit is milliseconds, so "3" is 3 ms.
_SHORT_SECONDS = 0.01
#: The same of durations that are seconds or more by default: 60 was meant to be a minute.
_SHORT_OF_LONG_SECONDS = 0.1


def setting_warnings(section: Section, place: str = "") -> Iterator[str]:
    """Yield what is doubtful in a configuration, or in one of its sections at `place`."""
    for attribute, field in type(section).model_fields.items():
        value, name = getattr(section, attribute), f"{place}{field.alias}"
        if isinstance(value, Section):
            yield from setting_warnings(value, f"{name}.")
        elif attribute.endswith("_seconds") and isinstance(value, float):  # else it is off
            short = _SHORT_OF_LONG_SECONDS if field.default >= 1 else _SHORT_SECONDS
            if 0 < value < short:
                yield _sentence(name, value)


def _sentence(name: str, seconds: float) -> str:
    number = f"{seconds * 1000:g}"
    return (
        f"{name}: {format_duration(seconds)} is very short; a number without a unit is milliseconds: "
        f'for seconds write "{number}s"'
    )
