"""Which store a command works on, and what is said when it is not there."""

from __future__ import annotations

import json

import pytest

from lb.admin.target import find_target
from lb.config.store_url import masked
from lb.errors import ConfigError, UsageError

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, **settings):
    path.write_text(json.dumps({"servers": ["http://localhost:5001"], **settings}))
    return str(path)


def test_default_is_the_embedded_store_of_this_directory(tmp_path):
    assert f"unix://{tmp_path.resolve()}/.lb/store.sock" == find_target(None, None, {}).url


def test_config_here_names_the_store(tmp_path):
    write(tmp_path / "config.json", redis="redis://here/0")

    assert find_target(None, None, {}).url == "redis://here/0"


def test_config_here_names_the_data_directory(tmp_path):
    write(tmp_path / "config.json", dataDir="data")

    assert find_target(None, None, {}).url.endswith("/data/store.sock")


def test_config_flag_wins_over_the_one_of_the_environment_and_that_over_the_one_here(tmp_path):
    write(tmp_path / "config.json", redis="redis://here/0")
    environ = {"LB_CONFIG": write(tmp_path / "environment.json", redis="redis://environment/0")}
    flag = write(tmp_path / "flag.json", redis="redis://flag/0")

    assert find_target(None, None, environ).url == "redis://environment/0"
    assert find_target(None, flag, environ).url == "redis://flag/0"


def test_redis_flag_wins_over_environment_and_that_over_the_config(tmp_path):
    write(tmp_path / "config.json", redis="redis://here/0")
    environ = {"LB_REDIS": "redis://environment/0"}

    assert find_target(None, None, environ).url == "redis://environment/0"
    assert find_target("redis://flag/0", None, environ).url == "redis://flag/0"


def test_pool_and_prefix_are_those_of_the_config(tmp_path):
    write(tmp_path / "config.json", keyPrefix="acme", pool="shop")
    keys = find_target("redis://flag/0", None, {}).keys

    assert (keys.prefix, keys.pool) == ("acme", "shop")


def test_redis_flag_does_without_a_config_here_that_is_not_ours(tmp_path):
    (tmp_path / "config.json").write_text('{"compilerOptions": {}}')

    target = find_target("redis://flag/0", None, {"LB_KEY_PREFIX": "acme", "LB_POOL": "shop"})

    assert (target.url, target.keys.prefix, target.keys.pool) == ("redis://flag/0", "acme", "shop")


def test_malformed_config_is_an_error_when_it_is_needed(tmp_path):
    (tmp_path / "config.json").write_text("{")

    with pytest.raises(ConfigError):
        find_target(None, None, {})
    with pytest.raises(ConfigError):
        find_target("redis://flag/0", str(tmp_path / "config.json"), {})
    with pytest.raises(ConfigError):
        find_target("redis://flag/0", None, {"LB_CONFIG": "config.json"})


def test_malformed_store_url_is_wrong_usage_and_keeps_the_password():
    with pytest.raises(UsageError, match="expected a store's URL") as caught:
        find_target("http://user:secret@host", None, {})
    assert "secret" not in str(caught.value)
    assert str(caught.value).endswith("commands work on the store, not on the admin API")


def test_options_may_stand_before_the_command(run, store_url):
    assert run("--redis", store_url, "--json", "list", LB_REDIS=NOWHERE).status == 0
    assert run("--json", "list").json == []


def test_option_of_the_command_wins_over_the_one_before_it(run, store_url):
    assert run("--redis", NOWHERE, "list", "--redis", store_url).status == 0


def test_no_store_here_says_what_was_tried_and_what_to_do(run, tmp_path):
    outcome = run("list", LB_REDIS=None)

    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith("lb-admin: error: the store at unix://")
    assert ".lb/store.sock" in outcome.err
    assert "Is `lb run` running here?" in outcome.err
    assert "--redis URL or --config FILE" in outcome.err


def test_unreachable_store_is_named_without_its_password(run):
    outcome = run("add", "http://localhost:5001", "--redis", "redis://user:secret@127.0.0.1:1/0")

    assert (outcome.status, outcome.out) == (1, "")
    assert "127.0.0.1:1" in outcome.err
    assert "secret" not in outcome.err


def test_status_masks_the_password(run, store_url):
    assert masked("redis://user:secret@host") == "redis://user:***@host"
    assert masked(store_url) in run("status").out


def test_missing_config_is_wrong_usage(run):
    assert run("list", "--config", "nowhere.json").status == 2


def test_broken_config_is_refused(run, tmp_path):
    (tmp_path / "config.json").write_text('{"prot": ":8080"}')
    outcome = run("list", LB_REDIS=None)

    assert outcome.status == 1
    assert "prot" in outcome.err
