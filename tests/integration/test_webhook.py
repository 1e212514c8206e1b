"""The webhook from end to end: real health-checkers, one of which leads, and a receiver with its own mind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from lb.model import Health
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.health.hook import Hook, hook
from tests.integration.balancer import Balancer
from tests.integration.servers import HttpServer
from tests.support import eventually

SECRET = "correct-horse-battery"
SETTINGS: dict[str, Any] = {
    "healthCheckInterval": "200ms",
    "healthCheck": {"timeout": "500ms"},
    "passiveHealth": {"failures": 0},
}


@pytest.fixture
def receiver() -> Iterator[Hook]:
    with hook() as running:
        yield running


@contextmanager
def balancing(three: list[HttpServer], url: str) -> Iterator[Balancer]:
    """A balancer whose leading health-checker has begun to follow the events."""
    config = {"servers": [server.url for server in three], **SETTINGS}
    config["webhook"] = {"url": url, "events": ["up", "down", "removed", "store-back"]}
    with Balancer(config, environment={"LB_WEBHOOK_SECRET": SECRET}) as balancer:
        store = balancer.pool()._session.connection
        eventually(lambda: store.get(Keys().webhook_cursor), seconds=30, what="the webhook's cursor")
        yield balancer


def is_down(pool: BackendPool, server: HttpServer) -> bool:
    return any(s.server.id == server.id and s.server.health is Health.DOWN for s in pool.list())


@contextmanager
def another_checker(balancer: Balancer) -> Iterator[None]:
    """A health-checker of another host in the same fleet."""
    environment = {**os.environ, "LB_REDIS": balancer.store_url, "LB_WEBHOOK_SECRET": SECRET}
    command = [sys.executable, "-m", "lb", "health-checker", "--config", str(balancer.config_path)]
    with subprocess.Popen(command, env=environment, cwd=balancer.home) as process:
        try:
            yield
        finally:
            process.kill()


def leader_pid(pool: BackendPool) -> int:
    leader = eventually(pool.leader, seconds=15, what="a leader")
    return int(leader.split("-")[-2])


def test_a_leader_that_is_killed_loses_no_event_and_none_changes_places(
    three: list[HttpServer], receiver: Hook
) -> None:
    with balancing(three, receiver.url) as balancer, another_checker(balancer):
        pool = balancer.pool()
        receiver.status = 500
        three[0].stop()
        eventually(lambda: receiver.messages, seconds=15, what="a first try")
        three[1].stop()
        eventually(lambda: is_down(pool, three[1]), seconds=15, what="the second server down")
        os.kill(leader_pid(pool), signal.SIGKILL)
        receiver.status = 204
        down = [("down", three[0].id), ("down", three[1].id)]
        eventually(lambda: delivered(receiver) == down, seconds=20, what="both events")

        three[0].start()
        up = ("up", three[0].id)
        eventually(lambda: delivered(receiver) == [*down, up], seconds=20, what="the third event")


def delivered(receiver: Hook) -> list[tuple[str, str]]:
    """What was told, in order, repeats left out."""
    ids = [message.event["id"] for message in receiver.messages]
    assert ids == sorted(ids), "out of order"
    return list(dict.fromkeys(receiver.told))


def test_it_is_told_again_after_errors_and_refused_connections(three: list[HttpServer]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with balancing(three, f"http://127.0.0.1:{port}/hunter2") as balancer:
        three[0].stop()
        balancer.wait_log(f"the webhook at 127.0.0.1:{port} takes nothing, trying again: connection refused")
        with hook(port) as receiver:
            receiver.statuses = [500]
            balancer.wait_log(f"the webhook at 127.0.0.1:{port} takes events again", seconds=50)
            assert receiver.told == [("down", three[0].id)] * 2
        assert "hunter2" not in balancer.log


def test_a_receiver_that_hangs_delays_no_check(three: list[HttpServer], receiver: Hook) -> None:
    with ExitStack() as hanging:
        done = threading.Event()
        hanging.callback(done.set)
        receiver.before = lambda: done.wait(60)
        balancer = hanging.enter_context(balancing(three, receiver.url))
        hanging.callback(done.set)
        pool = balancer.pool()
        three[0].stop()
        eventually(lambda: receiver.messages, seconds=15, what="a message")
        checks = len(three[1].requests)
        eventually(lambda: len(three[1].requests) > checks + 5, seconds=15, what="five further checks")
        three[2].stop()
        eventually(lambda: is_down(pool, three[2]), seconds=15, what="down")
        assert len(receiver.messages) == 1
        done.set()
        eventually(lambda: len(receiver.messages) == 2, seconds=15, what="the next message")


def test_a_worker_tells_when_it_reaches_the_store_again(three: list[HttpServer], receiver: Hook) -> None:
    with balancing(three, receiver.url) as balancer:
        (store,) = balancer.pids("store")
        os.kill(store, signal.SIGSTOP)
        assert urllib3.request("GET", balancer.url, timeout=10, retries=False).status == 200
        lost = time.monotonic()
        assert "degraded" in balancer.log
        eventually(lambda: time.monotonic() > lost + 1.5, what="what is long enough to be told")
        os.kill(store, signal.SIGCONT)
        told = eventually(
            lambda: [m.event for m in receiver.messages if m.event["kind"] == "store-back"], seconds=15
        )
        assert told[0]["detail"].startswith("degraded for ")


def test_the_secret_is_shown_nowhere(three: list[HttpServer], receiver: Hook) -> None:
    with balancing(three, receiver.url) as balancer:
        three[0].stop()
        eventually(lambda: receiver.messages, seconds=15, what="a message")
        for pid in [balancer.process.pid, *balancer.pids()]:
            assert SECRET not in Path(f"/proc/{pid}/cmdline").read_text()
        assert SECRET not in balancer.log
        shown = subprocess.run(
            [sys.executable, "-m", "lb", "config", "--show", "--config", str(balancer.config_path)],
            env={**os.environ, "LB_WEBHOOK_SECRET": SECRET},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "webhook.secret" in shown.stdout
        assert SECRET not in shown.stdout + shown.stderr
        assert "/hook" not in shown.stdout
