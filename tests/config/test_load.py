"""Flags, environment and file: who wins, and what every kind of broken file says."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.config import Config, ListenAddress, from_json, load, parse_server_url, pin_file, settings, to_json
from lb.config.values import format_duration
from lb.errors import ConfigError

ORIGINAL = """{"port": ":8080", "healthCheckInterval": "2s", "lbAlgo": "round-robin",
 "servers": ["http://localhost:5001", "http://localhost:5002", "http://localhost:5003",
             "http://localhost:5004", "http://localhost:5005"], "maxRetries": 3}"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config.json that `load` finds by itself once it is written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config.json"


def problems_of(path: Path | None, environ: dict[str, str], overrides: dict[str, object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ, overrides)
    return caught.value.problems


def test_a_file_that_was_there_must_be_there_later(file: Path):
    environ: dict[str, str] = {}
    pin_file(environ)
    assert environ == {}  # there was none
    file.write_text(ORIGINAL)
    pin_file(environ)
    assert load(None, environ, {}).servers
    file.unlink()
    assert problems_of(None, environ, {}) == ["config.json: no such file"]


def test_a_directory_that_may_not_be_searched_may_hold_a_file(file: Path, monkeypatch: pytest.MonkeyPatch):
    """As where root's home is the working directory of a command that was started for another user."""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", denied)
    monkeypatch.setattr(Path, "read_text", denied)
    assert problems_of(None, {}, {}) == ["config.json: cannot be read: Permission denied"]


def test_another_file_that_is_named_stays_named(file: Path):
    file.write_text(ORIGINAL)
    environ = {"LB_CONFIG": "other.json"}
    pin_file(environ)
    assert environ == {"LB_CONFIG": "other.json"}


def test_the_originals_file_loads_unchanged(file: Path):
    file.write_text(ORIGINAL)
    config = load(None, {}, {})
    assert config.port == ListenAddress("", 8080)
    assert config.health_check_interval_seconds == 2.0
    assert config.strategy == "round-robin"
    assert [server.id for server in config.servers] == [f"localhost:{port}" for port in range(5001, 5006)]
    assert config.max_retries == 3


def test_the_projects_own_file_is_the_originals():
    own = Path(__file__).parents[2] / "config.json"
    assert load(own, {}, {}) == from_json(ORIGINAL)


def test_no_file_means_defaults(file: Path):
    assert load(None, {}, {}) == Config()


def test_precedence_is_flag_environment_file_default(file: Path):
    file.write_text('{"port": ":1", "workers": 1, "pool": "file"}')
    environ = {"LB_PORT": ":2", "LB_WORKERS": "2"}
    config = load(None, environ, {"port": ":3", "workers": None, "servers": ()})
    assert (str(config.port), config.workers, config.pool, config.key_prefix) == (":3", 2, "file", "lb")


def test_file_by_argument_wins_over_lb_config_over_the_usual_place(file: Path):
    for name in ("config", "named", "given"):
        file.with_name(f"{name}.json").write_text(json.dumps({"pool": name}))
    assert load(None, {}, {}).pool == "config"
    assert load(None, {"LB_CONFIG": "named.json"}, {}).pool == "named"
    assert load(Path("given.json"), {"LB_CONFIG": "named.json"}, {}).pool == "given"
    assert load(None, {"LB_CONFIG": ""}, {}).pool == "config"


def test_every_setting_has_its_own_variable_and_description():
    listed = list(settings())
    assert len({setting.variable for setting in listed}) == len(listed)
    assert all(setting.field.description for setting in listed)
    variables = {setting.variable for setting in listed}
    assert {"LB_PORT", "LB_STRATEGY", "LB_DATA_DIR", "LB_TIMEOUTS_CONNECT", "LB_ADMIN_TOKEN"} <= variables
    assert "LB_HEALTH_CHECK_INTERVAL" in variables


def test_environment_reaches_nested_settings_and_lists(file: Path):
    file.write_text('{"timeouts": {"idle": "7s"}}')
    environ = {
        "LB_TIMEOUTS_CONNECT": "1500",
        "LB_SERVERS": "http://a, http://b:81,",
        "LB_RETRY_ON": "503",
        "LB_HEALTH_CHECK_EXPECT": "2xx,404",
        "LB_TRUSTED_PROXIES": "10.0.0.0/8",
        "LB_LIMITS_BODY_BYTES": "1000",
        "LB_REDIS": "",
        "LB_UNHEARD_OF": "1",
    }
    config = load(None, environ, {})
    assert (config.timeouts.connect_seconds, config.timeouts.idle_seconds) == (1.5, 7.0)
    assert config.servers == (parse_server_url("http://a"), parse_server_url("http://b:81"))
    assert config.retry_on == (503,)
    assert config.health_check.expects(404)
    assert not config.health_check.expects(304)
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8"]
    assert config.limits.body_bytes == 1000
    assert config.redis is None


def test_problems_name_flag_variable_or_file(file: Path):
    file.write_text('{"pool": "a b"}')
    problems = problems_of(
        None, {"LB_PORT": "x", "LB_SERVERS": "http://a,b"}, {"workers": "0", "strategy": "x"}
    )
    assert [line.partition(": ")[0] for line in sorted(problems)] == [
        "--strategy",
        "--workers",
        "config.json",
        "environment LB_PORT",
        "environment LB_SERVERS",
    ]
    assert (
        'environment LB_SERVERS: expected a server\'s URL such as "http://localhost:5001"; got "b"'
        in "\n".join(problems)
    )


def test_a_flag_of_a_server_is_named_as_it_is_typed(file: Path):
    assert problems_of(None, {}, {"servers": ("https://a",)})[0].startswith("--server: ")


def test_a_section_that_is_no_object_is_reported_in_spite_of_the_environment(file: Path):
    file.write_text('{"timeouts": 3}')
    [problem] = problems_of(None, {"LB_TIMEOUTS_CONNECT": "1s"}, {})
    assert problem.startswith("config.json: timeouts: expected an object")


def test_an_override_of_nothing_is_the_callers_mistake(file: Path):
    with pytest.raises(TypeError, match="server_list"):
        load(None, {}, {"server_list": 1})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"port": 1,\n "x" 2}', "config.json: line 2, column 6: not valid JSON: Expecting ':' delimiter"),
        (b"", "config.json: line 1, column 1: not valid JSON: Expecting value"),
        (b"[]", 'config.json: expected a JSON object, such as {"port": ":8080"}'),
        (b"null", 'config.json: expected a JSON object, such as {"port": ":8080"}'),
        (b'{"port": "\xff"}', "config.json: expected UTF-8 text; byte 10 is not"),
        (b'{"a": {"x": 1, "x": 2}}', 'config.json: not usable JSON: given more than once: "x"'),
    ],
)
def test_a_broken_file_is_one_problem(file: Path, content: bytes, problem: str):
    file.write_bytes(content)
    assert problems_of(None, {}, {}) == [problem]


@pytest.mark.parametrize("content", ["[" * 100_000, '{"port": ' + "9" * 5000 + "}"])
def test_a_hostile_file_is_a_problem_and_not_a_crash(file: Path, content: str):
    file.write_text(content)
    (problem,) = problems_of(None, {}, {})
    assert problem.startswith("config.json: not usable JSON: ")


def test_a_byte_order_mark_is_no_problem(file: Path):
    file.write_bytes(b"\xef\xbb\xbf{}")
    assert load(None, {}, {}) == Config()


def test_a_missing_or_unreadable_file_is_one_problem(file: Path):
    assert problems_of(Path("no.json"), {}, {}) == ["no.json: no such file"]
    assert problems_of(None, {"LB_CONFIG": "no.json"}, {}) == ["no.json: no such file"]
    assert problems_of(Path(), {}, {}) == [".: cannot be read: Is a directory"]


_DURATIONS = st.integers(min_value=1, max_value=10**12).map(lambda micros: format_duration(micros / 10**6))
_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "port": st.integers(min_value=0, max_value=65535),
        "servers": st.sets(st.integers(min_value=1, max_value=65535), max_size=5).map(
            lambda ports: [{"url": f"http://[::1]:{port}", "weight": port % 256 + 1} for port in ports]
        ),
        "workers": st.none() | st.integers(min_value=1, max_value=99),
        "redis": st.sampled_from([None, "redis://:secret@h/1", "unix:///s"]),
        "dataDir": st.sampled_from([".lb", "/var/lib/lb"]),
        "threshold": _DURATIONS | st.just("off"),
        "timeouts": st.fixed_dictionaries({}, optional={"connect": _DURATIONS, "tunnel": _DURATIONS}),
        "healthCheck": st.fixed_dictionaries({"expect": st.lists(st.integers(100, 599), min_size=1)}),
        "trustedProxies": st.lists(st.ip_addresses().map(str), max_size=3),
        "requestId": st.booleans(),
        "via": st.none() | st.just("lb"),
        "admin": st.just({"listen": ":0", "token": "t" * 16}),
    },
)


@given(_VALUES)
def test_to_json_and_back_loses_nothing(values: dict[str, object]):
    config = from_json(json.dumps(values))
    assert from_json(to_json(config)) == config


def test_settings_of_another_version_are_left_out():
    written = json.loads(to_json(Config()))
    later = {**written, "later": 1, "limits": {**written["limits"], "later": 1}}
    assert from_json(json.dumps(later)) == Config()


def test_what_to_json_writes_is_a_config_file(file: Path):
    config = from_json('{"servers": ["http://a"], "timeouts": {"idle": "90s"}}')
    file.write_text(to_json(config))
    assert load(None, {}, {}) == config
    written = json.loads(to_json(config))
    assert written["servers"] == [{"url": "http://a:80", "weight": 1}]
    assert written["timeouts"]["idle"] == "1m30s"
    assert written["lbAlgo"] == "round-robin"
