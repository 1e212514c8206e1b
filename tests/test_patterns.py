"""No pattern has a possessive quantifier over a group: CPython 3.11.0 to 3.11.4 match those wrongly."""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import lb
from lb.proxy.headers import HeaderSettings

constants: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")

Pattern = re.Pattern[str] | re.Pattern[bytes]

#: What a quantifier may repeat possessively: one character.
SINGLE = {constants.LITERAL, constants.NOT_LITERAL, constants.ANY, constants.IN}

#: Where a pattern is made of what a function was given; these are seen where they are used.
MADE_OF_ARGUMENTS = {"lb.proxy.headers._special": 1, "lb.config.values.parse": 1}

MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(lb.__path__, "lb.")
    if not found.name.endswith("__main__")
] + [importlib.import_module("lb.__main__")]


def test_no_pattern_repeats_a_group_possessively() -> None:
    patterns = set(itertools.chain(kept(), header_patterns(), (pattern for _, pattern in literal())))
    assert len(patterns) > 50
    assert [pattern.pattern for pattern in patterns if repeats_group(pattern)] == []


def test_every_pattern_in_the_sources_is_seen() -> None:
    """What is passed to `re` is made of what the module knows, but for a few places that are told apart."""
    hidden = [place for place, pattern in calls() if pattern is None]
    assert {place: hidden.count(place) for place in hidden} == MADE_OF_ARGUMENTS


@pytest.mark.parametrize(
    "fault", ["(?:ab)++", "(a)*+", "x(?:(?:a|bc)?+)y", "[(](?i:ab){1,3}+", "(?=(?:ab)*+)"]
)
def test_a_group_that_repeats_possessively_is_found(fault: str) -> None:
    assert repeats_group(re.compile(fault))


@pytest.mark.parametrize("sound", ["(?:ab++c)*", "[a-z]*+", r"\d?+", ".{2,3}+", "[^a]++", "(?:a)*"])
def test_one_character_may_repeat_possessively(sound: str) -> None:
    assert not repeats_group(re.compile(sound))


def repeats_group(pattern: Pattern) -> bool:
    return any(
        code is constants.POSSESSIVE_REPEAT and not (len(body) == 1 and body[0][0] in SINGLE)
        for code, body in repeats(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    )


def repeats(parsed: Any) -> Iterator[tuple[Any, Any]]:
    """Every quantifier of a parsed pattern with what it repeats, however deep."""
    if isinstance(parsed, parser.SubPattern):
        for code, value in parsed:
            if code in (constants.POSSESSIVE_REPEAT, constants.MAX_REPEAT, constants.MIN_REPEAT):
                yield code, value[2]
            yield from repeats(value)
    elif isinstance(parsed, tuple | list):
        for part in parsed:
            yield from repeats(part)


def kept() -> Iterator[Pattern]:
    """Patterns that modules and their classes hold, by themselves or in collections."""
    for module in MODULES:
        for value in vars(module).values():
            yield from within(value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                for attribute in vars(value).values():
                    yield from within(attribute)


def within(value: object) -> Iterator[Pattern]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from within([*value.keys(), *value.values()])
    elif isinstance(value, tuple | list | set | frozenset):
        for part in value:
            yield from within(part)


def header_patterns() -> Iterator[Pattern]:
    """Those that are made of the settings."""
    for request_id, in_response, server in itertools.product((False, True), (False, True), (b"", b"X+|*")):
        settings = HeaderSettings(request_id=request_id, request_id_in_response=in_response, server=server)
        yield settings.special_in_requests
        yield settings.special_in_responses


def literal() -> Iterator[tuple[str, Pattern]]:
    return ((place, re.compile(pattern)) for place, pattern in calls() if pattern is not None)


def calls() -> Iterable[tuple[str, str | bytes | None]]:
    """What the sources pass to `re` as a pattern, with the function that does; None if only it knows."""
    for module in MODULES:
        tree = ast.parse(Path(str(module.__file__)).read_text())
        for function in ast.walk(tree):
            for node in own_nodes(function):
                if is_use_of_re(node):
                    yield f"{module.__name__}.{getattr(function, 'name', '')}", value_of(node.args[0], module)


def own_nodes(function: ast.AST) -> Iterator[Any]:
    """The nodes of a module or function, without those of functions within it."""
    if isinstance(function, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
        todo = list(ast.iter_child_nodes(function))
        while todo:
            node = todo.pop()
            yield node
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                todo.extend(ast.iter_child_nodes(node))


def is_use_of_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr != "escape"
    )


def value_of(expression: ast.expr, module: ModuleType) -> str | bytes | None:
    try:
        value = eval(compile(ast.Expression(expression), str(module.__file__), "eval"), vars(module))
    except NameError:
        return None
    return value if isinstance(value, str | bytes) else None
