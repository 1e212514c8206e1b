"""Tab after `lb-admin drain` and the like, as bash asks it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def complete(store_url, keys, tmp_path):
    """Complete the last of the words that bash makes of a line, after what the help says was run."""

    def act(*words: str, **env: str) -> list[str]:
        script = (
            'eval "$(_LB_ADMIN_COMPLETE=bash_source lb-admin)"\n'
            'COMP_WORDS=(lb-admin "$@") COMP_CWORD=$#\n'
            "_lb_admin_completion lb-admin\n"
            'printf "%s\\n" "${COMPREPLY[@]}"\n'
        )
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        outcome = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", *words],
            env={"PATH": path, "LB_REDIS": store_url, "LB_KEY_PREFIX": keys.prefix, **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert outcome.stderr == ""
        return outcome.stdout.split()

    return act


@pytest.fixture
def servers(add):
    for port in (5001, 5002, 6001):
        add(f"http://localhost:{port}")


@pytest.mark.parametrize("command", ["drain", "undrain", "maint", "remove", "weight"])
def test_ids_in_the_pool(complete, servers, command):
    assert complete(command, "lo") == ["localhost:5001", "localhost:5002", "localhost:6001"]


def test_bash_splits_at_colons_and_gets_what_is_behind_the_last(complete, servers):
    assert complete("drain", "localhost", ":", "50") == ["5001", "5002"]
    assert complete("drain", "localhost", ":") == ["5001", "5002", "6001"]


def test_a_bash_that_does_not_split_gets_all_of_it(complete, servers):
    assert complete("drain", "localhost:50") == ["localhost:5001", "localhost:5002"]


def test_one_that_is_named_already_is_not_offered_again(complete, servers):
    assert complete("drain", "localhost", ":", "5001", "lo") == ["localhost:5002", "localhost:6001"]


def test_restore_offers_the_removed(complete, pool, servers):
    pool.remove("localhost:5002", "test")

    assert complete("restore", "") == ["localhost:5002"]


def test_the_store_that_the_line_names_is_asked(complete, servers, store_url):
    away = "redis://127.0.0.1:1"

    assert complete("drain", "lo", LB_REDIS=away) == []
    assert len(complete("--redis", store_url, "drain", "lo", LB_REDIS=away)) == 3
    assert len(complete("drain", "--redis", store_url, "lo", LB_REDIS=away)) == 3


def test_a_store_that_is_silent_is_not_waited_for(complete):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        before = time.monotonic()
        assert complete("drain", "lo", LB_REDIS=url) == []
        assert time.monotonic() - before < 10  # two interpreters start too, on a machine that may be busy


def test_a_command_line_that_is_wrong_offers_nothing(complete):
    assert complete("drain", "--config", "missing.json", "lo") == []
    assert complete("drain", "lo", LB_REDIS="nonsense") == []
