"""The model itself: defaults, secrets, agreement with its neighbours."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from lb.config import Config, HealthCheck, from_json, to_json
from lb.config.fields import strategy_names
from lb.errors import ConfigError
from lb.model import EVENT_KINDS
from lb.store.keys import DEFAULT_POOL, DEFAULT_PREFIX
from lb.strategies import STRATEGIES

README = Path(__file__).parents[2] / "README.md"


def test_config_knows_the_registered_strategies():
    assert strategy_names() == sorted(STRATEGIES)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_can_be_configured(name: str):
    assert from_json(f'{{"lbAlgo": "{name}"}}').strategy == name


def test_the_stores_defaults_are_the_configs():
    assert (Config().key_prefix, Config().pool) == (DEFAULT_PREFIX, DEFAULT_POOL)


def test_workers_default_to_one_per_usable_core():
    assert Config().worker_count == len(os.sched_getaffinity(0))
    assert from_json('{"workers": 3}').worker_count == 3


def test_secrets_are_not_in_repr():
    config = from_json('{"redis": "redis://:hunter2@h", "admin": {"token": "hunter2-hunter2-hunter2"}}')
    assert config.redis == "redis://:hunter2@h"
    assert config.admin.token == "hunter2-hunter2-hunter2"
    assert "hunter2" not in repr(config) + str(config)


def test_a_webhooks_url_is_as_secret_as_its_secret():
    text = '{"webhook": {"url": "https://alerts.example/hunter2", "secret": "hunter2-hunter2-hunter2"}}'
    assert from_json(text).webhook.url == "https://alerts.example/hunter2"
    assert "hunter2" not in repr(from_json(text))


@pytest.mark.parametrize(
    "url",
    [
        "alerts.example/hunter2",
        "ftp://hunter2",
        "http://",
        "https://h:hunter2/",
        "https://h:99999/hunter2",
        "https://a:hunter2@h/",
        "https://h/hunter2 x",
        "https://h/#hunter2",
        "https://[::/hunter2",
    ],
)
def test_what_is_no_url_of_a_webhook_is_told_without_showing_it(url: str):
    with pytest.raises(ConfigError, match=r"webhook\.url: expected a URL") as refused:
        from_json(json.dumps({"webhook": {"url": url}}))
    assert "hunter2" not in str(refused.value)


def test_a_webhook_tells_of_kinds_that_there_are():
    assert set(Config().webhook.events) < set(EVENT_KINDS)
    with pytest.raises(ConfigError, match=r'webhook\.events.*did you mean "down"'):
        from_json('{"webhook": {"events": ["up", "dwn"]}}')


def test_a_config_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Config().pool = "other"
    hash(Config())


def test_beyond_loopback_with_a_token_is_fine():
    config = from_json('{"admin": {"listen": "[::]:8081", "token": "0123456789abcdef"}}')
    assert str(config.admin.listen) == "[::]:8081"


@pytest.mark.parametrize(
    ("settings", "passing"),
    [
        ({}, [200, 204, 302, 399, 400, 499]),
        ({"method": "GET", "fall": 9}, [200, 204, 302, 399, 400, 499]),
        ({"path": "/health"}, [200, 204, 302, 399]),
        ({"path": "/"}, [200, 204, 302, 399]),
        ({"expect": ["204", "5xx"]}, [204, 500]),
        ({"path": "/health", "expect": [499]}, [499]),
    ],
)
def test_any_answer_below_500_passes_until_a_path_or_statuses_are_set(settings, passing):
    for check in (HealthCheck(**settings), from_json(to_json(Config(healthCheck=settings))).health_check):
        statuses = (199, 200, 204, 302, 399, 400, 499, 500)
        assert [status for status in statuses if check.expects(status)] == passing


def test_the_fields_we_add_are_settings():
    config = Config()
    assert (config.request_id, config.request_id_in_response, config.forwarded, config.via) == (
        True,
        False,
        False,
        None,
    )
    assert from_json('{"requestId": "off", "via": "edge-1.example:80"}').via == "edge-1.example:80"
    for bad in ('{"via": "a b"}', '{"via": ""}', '{"via": "a\\r\\nB: 1"}'):
        with pytest.raises(ConfigError, match="via: expected a name such as"):
            from_json(bad)


@pytest.mark.parametrize(
    ("written", "name"),
    [("true", "X-Forwarded-Server"), ("false", ""), ('"off"', ""), ('"X-Served-By"', "X-Served-By")],
)
def test_the_header_that_names_the_server_is_a_setting(written: str, name: str):
    config = from_json(f'{{"serverHeader": {written}}}')
    assert config.server_header_name == from_json(to_json(config)).server_header_name == name


@pytest.mark.parametrize(
    "bad",
    ["", "a b", "a:", "a\r\nB", "1x", "é", 3, None, [], "x" * 65,
     "Connection", "content-length", "Transfer-Encoding", "DATE", "Set-Cookie", "X-Request-Id", "Location",
     "Allow"],
)  # fmt: skip
def test_a_server_cannot_be_named_in_what_means_something_else(bad: object):
    with pytest.raises(ConfigError, match=r"serverHeader: expected .*header"):
        from_json(json.dumps({"serverHeader": bad}))


@pytest.mark.parametrize("section", ["timeouts", "limits"])
def test_the_readme_names_each_limit_with_its_default(section: str):
    [row] = [line for line in README.read_text().splitlines() if line.startswith(f"| `{section}` |")]
    stated = dict(re.findall(r"`(\w+)` ([^,|]+?)(?=,| \|)", row))
    written = {name: 0 if text == "off" else text.replace(" ", "") for name, text in stated.items()}
    defaults = getattr(Config(), section)
    assert from_json(json.dumps({section: written})) == Config()
    assert written.keys() == defaults.model_dump(by_alias=True).keys()
