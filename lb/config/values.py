"""Values as people write them: durations, numbers, switches, statuses. The parsers raise ValueError."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

_UNIT_SECONDS = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,12})?(?:ms|d|h|m|s))+", re.ASCII)
_DURATION_PART = re.compile(r"([\d.]+)(ms|d|h|m|s)", re.ASCII)
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,12})?", re.ASCII)
_LONGEST_SECONDS = 365 * 24 * 3600

_SWITCHES = dict.fromkeys(("true", "on", "yes", "1"), True) | dict.fromkeys(
    ("false", "off", "no", "0"), False
)
# What other programs, or other places of our own, call a thing; written as `_form` does.
_SAID_ELSEWHERE = {
    "strategy": ("lbalgo",),
    "lbalgo": ("strategy",),
    **dict.fromkeys(("algo", "algorithm", "balance", "policy"), ("strategy", "lbalgo")),
    **dict.fromkeys(("rr", "wrr"), ("roundrobin",)),
    **dict.fromkeys(("listen", "bind", "address"), ("port", "listen")),
    **dict.fromkeys(("backends", "upstreams", "targets"), ("servers",)),
    "store": ("redis",),
    **dict.fromkeys(("admin", "adminport", "adminaddress"), ("adminlisten", "listen")),
    "token": ("admintoken",),
    **dict.fromkeys(("accesslogpath", "accesslogfile"), ("accesslog",)),
}
_LARGEST = 2**53  # every JSON reader holds whole numbers exactly up to this one
_STATUSES = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?", re.ASCII | re.IGNORECASE)


def shown(value: object) -> str:
    """Return a value as JSON for a message, cut short if it is long."""
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 80 else f"{text[:77]}..."


def printable(text: str) -> str:
    """Escape characters that would confuse a terminal or cannot be encoded, such as half a surrogate pair."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def nearest(word: str, words: Collection[str]) -> str | None:
    """Return the one of `words` that was probably meant; None if none is similar."""
    by_form = {_form(known): known for known in words}
    form = _form(word)
    meant = [other for other in (form, *_SAID_ELSEWHERE.get(form, ())) if other in by_form]
    found = meant or get_close_matches(form, by_form, n=1)
    return by_form[found[0]] if found else None


def _form(word: str) -> str:
    return re.sub("[-_]", "", word.lower())


def parse_duration(value: object) -> float:
    """Parse "2s", "500ms", "1m30s", "2d12h" or a number of milliseconds into seconds, to the microsecond."""
    seconds = _duration(value)
    if seconds is None:
        forms = '"2s", "500ms", "1m30s", "1h", "2d", or a number of milliseconds'
        raise ValueError(f"expected a duration such as {forms}; got {shown(value)}")
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f'expected a duration of at most a year ("365d"); got {shown(value)}')
    return seconds


def _duration(value: object) -> float | None:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        return None
    if _NUMBER.fullmatch(text):
        text = f"{text}ms"
    if not _DURATION.fullmatch(text):
        return None
    parts = (Decimal(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    return float(round(sum(parts, Decimal(0)), 6))


def parse_positive_duration(value: object) -> float:
    """Parse as `parse_duration` does, but refuse zero."""
    seconds = parse_duration(value)
    if not seconds:
        raise ValueError(f"expected a duration longer than zero; got {shown(value)}")
    return seconds


def parse_threshold(value: object) -> float | None:
    """Parse a duration longer than zero, or "off" as None."""
    if value is False or (isinstance(value, str) and value.lower() == "off"):
        return None
    try:
        return parse_positive_duration(value)
    except ValueError as error:
        raise ValueError(f'{error}; "off" removes no server') from None


def format_threshold(seconds: float | None) -> str:
    """Write what `parse_threshold` reads."""
    return "off" if seconds is None else format_duration(seconds)


def format_duration(seconds: float) -> str:
    """Write seconds so that `parse_duration` returns the same number: 90.0 as "1m30s", 0.5 as "500ms"."""
    exact = Decimal(repr(seconds))
    if exact % 1:
        return f"{exact:f}s" if exact > 1 else f"{(exact * 1000).normalize():f}ms"
    minutes, rest = divmod(int(exact), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def whole_number(least: int, most: int = _LARGEST) -> Callable[[object], int]:
    """Make a parser of whole numbers within bounds, also those in strings, as the environment has them."""
    bounds = f"{least} or more" if most == _LARGEST else f"{least} to {most}"

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value, re.ASCII):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise ValueError(f"expected a whole number, {bounds}; got {shown(value)}")

    return parse


def switch(value: object) -> bool:
    """Parse true or false, or a word for it, as the environment has it."""
    found = _SWITCHES.get(value.lower()) if isinstance(value, str) else value
    if isinstance(found, bool):
        return found
    raise ValueError(f"expected true or false; got {shown(value)}")


def one_of(words: Collection[str]) -> Callable[[object], str]:
    """Make a parser that accepts only these words."""

    def parse(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        near = nearest(value, words) if isinstance(value, str) else None
        hint = f'; did you mean "{near}"?' if near else ""
        raise ValueError(f"expected one of {', '.join(words)}; got {shown(value)}{hint}")

    return parse


def matching(pattern: str, expected: str) -> Callable[[str], str]:
    """Make a parser of texts that match a pattern as a whole; `expected` describes them in its error."""

    def parse(text: str) -> str:
        if re.fullmatch(pattern, text):
            return text
        raise ValueError(f"expected {expected}; got {shown(text)}")

    return parse


@dataclass(frozen=True, slots=True)
class StatusRange:
    """HTTP statuses from `first` to `last`, both included."""

    first: int
    last: int

    @classmethod
    def parse(cls, value: object) -> StatusRange:
        """Parse 200, "200", "2xx" or "200-299"."""
        is_text = isinstance(value, int | str) and not isinstance(value, bool)
        match = _STATUSES.fullmatch(str(value).replace(" ", "")) if is_text else None
        if not match:
            raise ValueError(f'expected a status such as 200, "2xx" or "200-299"; got {shown(value)}')
        century, first, last = match.groups()
        if century:
            return cls(int(century) * 100, int(century) * 100 + 99)
        if last and int(last) < int(first):
            raise ValueError(f"expected a range from low to high; got {shown(value)}")
        return cls(int(first), int(last or first))

    def __contains__(self, status: int) -> bool:
        return self.first <= status <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
