"""Loads the Lua scripts: one act per file, whose header is its contract.

The first comment of a script says what it does. `-- KEYS:` lists the keys that it uses, by their names in
`keys.Keys`: exactly these are passed, and the script finds them in local variables of the same names.
`--@include NAME` is replaced by `NAME.lua`, whose keys are added; `--@include strategies` also adds the
registered strategies. The local variable `SCHEMA` holds our schema number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib.resources import files

from lb.store.keys import SCHEMA, Keys
from lb.strategies import STRATEGIES, Strategy

_KEYS_LINE = re.compile(r"^-- KEYS:(.*)$", re.MULTILINE)
_INCLUDE_LINE = re.compile(r"^--@include (\w+)$", re.MULTILINE)


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
    body = _expand(_read(name))
    names = dict.fromkeys(key for line in _KEYS_LINE.findall(body) for key in line.split())
    values = ", ".join(f"KEYS[{index}]" for index in range(1, len(names) + 1))
    text = f"local {', '.join(names)} = {values}\nlocal SCHEMA = '{SCHEMA}'\n{body}"
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest(), tuple(names))


def _expand(text: str) -> str:
    return _INCLUDE_LINE.sub(lambda match: _expand(_included(match[1])), text)


def _included(name: str) -> str:
    if name != "strategies":
        return _read(name)
    return "\n".join((_read(name), *map(_definition, STRATEGIES.values())))


def _definition(rule: Strategy) -> str:
    body = files("lb.strategies").joinpath(f"{rule.stem}.lua").read_text(encoding="utf-8")
    return f"definitions['{rule.name}'] = function()\n{body}\nend"


def _read(name: str) -> str:
    return files("lb.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
