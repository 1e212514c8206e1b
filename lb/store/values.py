"""Reads single values that the store returns, where anybody else may have written anything. PURE.

What lb never writes is read as missing; `lua/values.lua` has the same rules for scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from math import isfinite
from typing import Any, TypeVar

_LARGEST = 2**53  # up to there Lua's numbers are exact
_LONGEST_DIGITS = 16
_WHOLE = re.compile(r"0|[1-9][0-9]*")
_ID = re.compile(r"unix:/\S+|\S+:(\d{1,5})", re.ASCII)

_Word = TypeVar("_Word", bound=StrEnum)


def whole(text: object, default: int = 0) -> int:
    """Read a whole number from 0."""
    if not isinstance(text, str) or len(text) > _LONGEST_DIGITS or not _WHOLE.fullmatch(text):
        return default
    number = int(text)
    return number if number < _LARGEST else default


def moment(text: object) -> float | None:
    """Read a time, or another number from 0."""
    try:
        number = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) and 0 <= number < _LARGEST else None


def word(kind: type[_Word], text: str, default: _Word) -> _Word:
    """Read one of a few words."""
    return kind(text) if text in set(kind) else default


def printable(text: str) -> str:
    """Return a text without what would drive a terminal or break a line: U+FFFD stands in its place."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def printable_lines(text: str) -> str:
    """Do the same for a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def is_id(text: str) -> bool:
    """Whether a text can be the id of a server."""
    match = _ID.fullmatch(text)
    return match is not None and text.isprintable() and (match[1] is None or 1 <= int(match[1]) <= 65535)


def column(flat: Iterable[Any]) -> dict[str, str]:
    """Return the `field, value, …` of a script's reply as a dict."""
    words = iter(flat)
    return dict(zip(words, words, strict=False))
