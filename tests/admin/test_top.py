from __future__ import annotations

import itertools
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from lb.model import Admin
from tests.admin.test_rates import Host
from tests.support import Valkey, eventually


@contextmanager
def terminal(tmp_path, **environ):
    """Run `lb-admin top` on a terminal; yields the process and a function that returns all it has drawn."""
    ours, theirs = pty.openpty()
    command = [Path(sys.executable).with_name("lb-admin"), "top", "--interval", "100ms"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "30", **environ}
    drawn = b""

    def read() -> str:
        nonlocal drawn
        drawn += os.read(ours, 65536)
        return drawn.decode(errors="replace")

    with subprocess.Popen(command, env=environ, cwd=tmp_path, stdin=theirs, stdout=theirs) as process:
        try:
            yield process, read
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)


def test_screen_follows_the_pool_until_it_is_interrupted(add, store_url, keys, tmp_path):
    add("http://localhost:5001")
    with terminal(tmp_path, LB_REDIS=store_url, LB_KEY_PREFIX=keys.prefix) as (process, screen):
        eventually(lambda: "localhost:5001" in screen(), seconds=10)
        add("http://localhost:5002")
        eventually(lambda: "localhost:5002" in screen(), seconds=10)
        process.send_signal(signal.SIGINT)

        assert process.wait(10) == 0


def test_requests_per_second_and_latency_of_each_server(add, store_url, keys, connection, tmp_path):
    add("http://localhost:5001")
    add("http://localhost:5002")
    host, served = Host(connection, keys), itertools.count(880, 880)
    environ = {"LB_REDIS": store_url, "LB_KEY_PREFIX": keys.prefix, "COLUMNS": "170"}
    with terminal(tmp_path, **environ) as (_, screen):
        eventually(lambda: "localhost:5001" in screen(), seconds=10)
        assert "REQUESTS/S" not in screen()

        def shown(pattern):
            host.publish(next(served))
            return re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen()))

        eventually(lambda: shown(r"REQUESTS/S +P50 +P99 +ERRORS"), seconds=10)
        eventually(lambda: shown(r"[\d,]+ +3.\d\d ms +4.\d\d ms +9.1 %"), seconds=10)


def test_on_a_short_screen_servers_that_take_no_requests_come_first(add, pool, store_url, keys, tmp_path):
    for port in range(5001, 5031):
        add(f"http://localhost:{port}")
    pool.set_admin("localhost:5030", Admin.DRAIN, "test")
    environ = {"LB_REDIS": store_url, "LB_KEY_PREFIX": keys.prefix, "LINES": "20"}
    with terminal(tmp_path, **environ) as (_, screen):
        eventually(lambda: "`lb-admin list` has all" in screen(), seconds=10)
        drawn = screen()

        shown = list(dict.fromkeys(re.findall(r"localhost:\d+", drawn)))
        assert shown[:2] == ["localhost:5030", "localhost:5001"]
        assert f"{30 - len(shown)} more:" in drawn


def test_store_that_goes_away_is_told_and_waited_for(tmp_path):
    with Valkey(tmp_path) as store, terminal(tmp_path, LB_REDIS=store.url) as (process, screen):
        eventually(lambda: "reachable" in screen(), seconds=10)
        store.stop()
        eventually(lambda: "cannot be reached" in screen(), seconds=10)
        before = len(screen())
        store.start()
        eventually(lambda: "0 of 0 eligible" in screen()[before:], seconds=10)

        assert process.poll() is None


def test_an_interval_in_milliseconds_by_mistake_is_wrong_usage(run):
    outcome = run("top", "--interval", "2")

    assert outcome.status == 2
    assert 'expected 100ms or more, such as "2s" (a bare number is milliseconds); got "2"' in outcome.err


def test_without_a_terminal_it_is_refused(run):
    outcome = run("top")

    assert (outcome.status, outcome.out) == (1, "")
    assert "`list --json`" in outcome.err
