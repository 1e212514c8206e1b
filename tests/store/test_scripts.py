"""The contracts of the Lua files, and of the schema."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
import redis

from lb.model import ServerId, WorkerId
from lb.store.keys import DEFAULT_PREFIX, TYPES, Keys
from lb.store.scripts import load

LUA = {path.name.removesuffix(".lua"): path.read_text() for path in (files("lb.store") / "lua").iterdir()}
ACTS = {name for name, text in LUA.items() if "\n-- Return: " in text}
OWN = {
    "removed_server": Keys().removed_server(ServerId("a:1")),
    "worker": Keys().worker(WorkerId("w1")),
    "metrics_run": Keys().metrics_run("r1"),
    "worker_connections": Keys().worker_connections(WorkerId("w1")),
}
PROPERTIES = {name for name, member in vars(Keys).items() if isinstance(member, property)}


@pytest.mark.parametrize("name", sorted(LUA))
def test_every_file_says_what_it_does_first(name: str) -> None:
    assert re.match(r"-- [A-Z]", LUA[name])


@pytest.mark.parametrize("name", sorted(ACTS))
def test_an_acts_header_names_arguments_and_reply_before_any_code(name: str) -> None:
    header = re.match(r"(--.*\n)+", LUA[name])
    assert header
    assert "-- Return: " in header[0]
    assert ("-- ARGV: " in header[0]) == ("ARGV" in LUA[name])


@pytest.mark.parametrize("name", sorted(ACTS))
def test_every_key_of_an_act_is_one_of_the_schema(name: str) -> None:
    script = load(name)
    assert set(script.key_names) <= PROPERTIES | set(OWN)
    sent = script.keys(Keys(), **OWN)
    assert len(sent) == len(set(sent)) == len(script.key_names)
    assert all(key.startswith("lb:{default}:") for key in sent)


@pytest.mark.parametrize("name", sorted(ACTS))
def test_every_key_that_an_act_declares_is_used(name: str) -> None:
    script = load(name)
    _, _, body = script.text.partition("\n")
    code = re.sub(r"--.*", "", body)
    assert [key for key in script.key_names if not re.search(rf"\b{key}\b", code)] == []


@pytest.mark.parametrize("name", sorted(LUA))
def test_no_key_name_is_made_up_in_lua(name: str) -> None:
    assert "{default}" not in LUA[name]
    assert DEFAULT_PREFIX + ":" not in LUA[name]
    assert not re.search(r"redis\.call\('KEYS'|redis\.call\('SCAN'", LUA[name])


@pytest.mark.parametrize("name", sorted(ACTS))
def test_every_act_compiles_and_its_hash_is_the_stores(name: str, connection: redis.Redis) -> None:
    assert connection.script_load(load(name).text) == load(name).sha


def test_every_key_says_its_type() -> None:
    for name, member in vars(Keys).items():
        if name.startswith("_") or not (isinstance(member, property) or callable(member)):
            continue
        text = (member.fget if isinstance(member, property) else member).__doc__
        said = re.match(r"(String|Hash|List|Set|Sorted set|Stream)\b.*: ", text)
        assert said, name
        assert TYPES.get(name, "hash") == {"Sorted set": "zset"}.get(said[1], said[1].lower())
