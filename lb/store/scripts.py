"""Loads the Lua scripts: one act per file, whose header is its contract.

The first comment of a script says what it does. `-- KEYS:` lists the keys that it uses, by their names in
`keys.Keys`: exactly these are passed, and the script finds them in local variables of the same names.
`--@include NAME` is replaced by `NAME.lua`, once, and its keys are added; `--@include strategies` also adds
the registered strategies. The local variable `SCHEMA` holds our schema number, `FURTHER` the place in `KEYS`
of the first key that is passed after the named ones.

Before anything else a script deletes those of its keys that are of another type than ours, as a command on
such a key would end it halfway. Only `lease` leaves that to `register`, which follows each of its errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files

from lb.store.keys import SCHEMA, TYPES, Keys
from lb.strategies import STRATEGIES, Strategy

_KEYS_LINE = re.compile(r"^-- KEYS:(.*)$", re.MULTILINE)
_INCLUDE_LINE = re.compile(r"^--@include (\w+)$", re.MULTILINE)

_UNGUARDED = "lease"


@dataclass(frozen=True, slots=True)
class Script:
    """A script that is ready to be sent: its text, its hash for EVALSHA, and its keys' names in order."""

    name: str
    text: str
    sha: str
    key_names: tuple[str, ...]

    def keys(self, keys: Keys, **own: str) -> list[str]:
        """Return the keys to send; `own` gives, by name, those that `Keys` composes from an id."""
        return [own[name] if name in own else getattr(keys, name) for name in self.key_names]


@cache
def load(name: str) -> Script:
    """Read `lua/<name>.lua` with everything that it includes."""
    body = _expand(_read("types") + _read(name) if name != _UNGUARDED else _read(name), set())
    names = dict.fromkeys(key for line in _KEYS_LINE.findall(body) for key in line.split())
    values = ", ".join(f"KEYS[{index}]" for index in range(1, len(names) + 1))
    kinds = ", ".join(f"'{TYPES.get(key, 'hash')}'" for key in names)
    head = f"local {', '.join(names)} = {values}\nlocal SCHEMA, FURTHER = '{SCHEMA}', {len(names) + 1}\n"
    text = head + body.replace("@TYPES", kinds)
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest(), tuple(names))


def _expand(text: str, included: set[str]) -> str:
    def insert(match: re.Match[str]) -> str:
        if match[1] in included:
            return ""
        included.add(match[1])
        return _expand(_included(match[1]), included)

    return _INCLUDE_LINE.sub(insert, text)


def _included(name: str) -> str:
    if name != "strategies":
        return _read(name)
    return "\n".join((_read(name), *map(_definition, STRATEGIES.values())))


def _definition(rule: Strategy) -> str:
    body = files("lb.strategies").joinpath(f"{rule.stem}.lua").read_text(encoding="utf-8")
    return f"definitions['{rule.name}'] = function()\n{body}\nend"


def _read(name: str) -> str:
    return files("lb.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
