"""Every finding at once, each with its place, what was expected and what was probably meant."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.config import Config, settings, to_json
from lb.config.load import validate
from lb.errors import ConfigError
from lb.strategies import STRATEGIES


def checked(text: str) -> Config:
    """Read a file's text, as strictly as files are read."""
    return validate(json.loads(text), {}, "configuration")


def problems_in(values: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        checked(json.dumps(values))
    return [line.removeprefix("configuration: ") for line in caught.value.problems]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"prot": 1}, 'prot: unknown key; did you mean "port"?'),
        ({"maxretries": 1}, 'maxretries: unknown key; did you mean "maxRetries"?'),
        ({"max_retries": 1}, 'max_retries: unknown key; did you mean "maxRetries"?'),
        ({"timeouts": {"conect": "3s"}}, 'timeouts.conect: unknown key; did you mean "connect"?'),
        (
            {"healthCheck": {"zzz": 1}},
            "healthCheck.zzz: unknown key; known here: method, path, timeout, rise, fall, expect, failOpen",
        ),
        (
            {"servers": ["http://a", {"url": "http://b", "wieght": 2}]},
            'servers[1].wieght: unknown key; did you mean "weight"?',
        ),
        ({"servers": [{}]}, "servers[0].url: required, but missing"),
        ({"servers": [{"url": 5}]}, "servers[0].url: expected a string"),
        ({"servers": [5]}, 'servers[0]: expected a URL or an object with "url" and "weight"; got 5'),
        ({"servers": "http://a"}, "servers: expected a list"),
        (
            {"servers": [{"url": "http://a", "weight": 257}]},
            "servers[0].weight: expected a whole number, 1 to 256; got 257",
        ),
        (
            {"servers": ["a:1"]},
            (
                'servers[0]: expected a server\'s URL such as "http://localhost:5001"; got "a:1"; '
                'did you mean "http://a:1"?'
            ),
        ),
        (
            {"servers": ["http://a", "http://b", "http://A:80/", {"url": "http://b:80"}]},
            (
                "servers: expected each server once; "
                "a:80 is servers[0] and servers[2], b:80 is servers[1] and servers[3]"
            ),
        ),
        (
            {"lbAlgo": "roundrobin"},
            (
                f'lbAlgo: expected one of {", ".join(sorted(STRATEGIES))}; got "roundrobin"; '
                'did you mean "round-robin"?'
            ),
        ),
        (
            {"threshold": "soon"},
            (
                'threshold: expected a duration such as "2s", "500ms", "1m30s", "1h", "2d", '
                "or a number of milliseconds; "
                'got "soon"; "off" removes no server'
            ),
        ),
        ({"timeouts": {"idle": 0}}, "timeouts.idle: expected a duration longer than zero; got 0"),
        ({"workers": 0}, "workers: expected a whole number, 1 to 512; got 0"),
        ({"maxRetries": True}, "maxRetries: expected a whole number, 0 or more; got true"),
        ({"retryOn": [502, 200]}, "retryOn[1]: expected a whole number, 400 to 599; got 200"),
        (
            {"passiveHealth": {"statuses": [503, 429]}},
            "passiveHealth.statuses[1]: expected a whole number, 500 to 599; got 429",
        ),
        (
            {"webhook": "http://hooks.example"},
            "webhook: expected an object; known in it: url, secret, events, timeout",
        ),
        (
            {"healthCheck": {"interval": "2s"}},
            'healthCheck.interval: unknown key; did you mean "healthCheckInterval", beside "healthCheck"?',
        ),
        ({"strategy": "random"}, 'strategy: unknown key; did you mean "lbAlgo"?'),
        ({"upstreams": []}, 'upstreams: unknown key; did you mean "servers"?'),
        ({"dataDir": 5}, "dataDir: expected a path"),
        ({"dataDir": ""}, 'dataDir: expected the path of a directory, in printable characters; got ""'),
        ({"workers": 100_000}, "workers: expected a whole number, 1 to 512; got 100000"),
        (
            {"dataDir": "a\0b"},
            'dataDir: expected the path of a directory, in printable characters; got "a\\u0000b"',
        ),
        (
            {"pool": "a{b}"},
            'pool: expected 1 to 64 letters, digits, ".", "_", ":" or "-"; got "a{b}"',
        ),
        (
            {"healthCheck": {"path": "health"}},
            (
                'healthCheck.path: expected a path such as "/health", '
                'in ASCII without spaces or "#"; got "health"'
            ),
        ),
        (
            {"healthCheck": {"expect": []}},
            "healthCheck.expect: expected at least one status, as no check could pass",
        ),
        (
            {"admin": {"listen": ":8081"}},
            (
                'admin.token: required, because admin.listen ":8081" is reachable from other machines; '
                'set one, or listen on "127.0.0.1:8081"'
            ),
        ),
        (
            {"admin": {"token": "short secret"}},
            "admin.token: expected 16 or more printable ASCII characters without spaces; got 12",
        ),
        *(
            (
                {"admin": {**token, "readToken": "0123456789abcdef"}},
                (
                    "admin.readToken: expected admin.token to be set too, and to another secret, "
                    "as otherwise readers may write"
                ),
            )
            for token in ({}, {"token": "0123456789abcdef"})
        ),
    ],
)
def test_one_problem(values: object, problem: str):
    assert problems_in(values) == [problem]


def test_all_problems_come_at_once():
    problems = problems_in(
        {
            "prot": 1,
            "port": "x",
            "servers": ["http://a", "https://b", {"url": "http://c", "weight": 0}],
            "timeouts": {"conect": 1, "idle": "x"},
            "admin": {"listen": "0.0.0.0:1"},
            "redis": "x",
        }
    )
    assert sorted(line.partition(": ")[0] for line in problems) == [
        "admin.token",
        "port",
        "prot",
        "redis",
        "servers[1]",
        "servers[2].weight",
        "timeouts.conect",
        "timeouts.idle",
    ]


@pytest.mark.parametrize(
    "values",
    [{"admin": {"token": "hunter2"}}, {"admin": {"token": ["hunter2"]}}, {"redis": "x://u:hunter2@h"}],
)
def test_no_problem_shows_a_secret(values: object):
    assert "hunter2" not in "".join(problems_in(values))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_ANY_SETTING = st.sampled_from(
    [*sorted(setting.keys for setting in settings()), ("servers", "url"), ("\ud800",)]
)


@given(st.lists(st.tuples(_ANY_SETTING, _JSON), max_size=5))
def test_any_object_is_a_config_or_printable_problems(entries: list[tuple[tuple[str, ...], object]]):
    values: dict[str, object] = {}
    for (section, *rest), value in entries:
        values[section] = {rest[0]: value} if rest else value
    try:
        config = checked(json.dumps(values))
    except ConfigError as error:
        for line in error.problems:
            assert line.startswith("configuration: ")
            assert line.isprintable()
    else:
        assert checked(to_json(config)) == config
