"""Fail open from end to end: while no server passes its checks, all that are ready get the requests."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from typing import Any

import urllib3

from lb.model import Health
from lb.store.pool import BackendPool
from tests.integration.balancer import Balancer
from tests.integration.servers import HttpServer, Request, response
from tests.support import eventually

SETTINGS: dict[str, Any] = {
    "healthCheckInterval": "100ms",
    "healthCheck": {"timeout": "500ms", "path": "/health"},
}


def wrong_check(request: Request) -> bytes:
    return response(401 if request.target == "/health" else 200)


def all_down(pool: BackendPool) -> bool:
    return {status.server.health for status in pool.list()} == {Health.DOWN}


def test_while_all_checks_fail_every_request_is_answered_by_all_servers_in_turn(
    three: list[HttpServer],
) -> None:
    for server in three:
        server.behaviour = wrong_check
    with Balancer({"servers": [server.url for server in three], **SETTINGS}, workers=2) as balancer:
        pool = balancer.pool()
        eventually(lambda: all_down(pool), what="all down by their checks")
        asked = [urllib3.request("GET", balancer.url, retries=False) for _ in range(30)]
        assert {answer.status for answer in asked} == {200}
        assert Counter(answer.headers["X-Forwarded-Server"] for answer in asked) == {
            server.url: 10 for server in three
        }

        balancer.wait_log("no server is up: requests go to all that are ready")
        assert json.loads(balancer.admin("status", "--json"))["failOpen"] is True
        assert b"lb_fail_open 1.0" in urllib3.request("GET", f"{balancer.admin_url}/metrics").data

        (store,) = balancer.pids("store")
        os.kill(store, signal.SIGSTOP)  # from now on each worker picks by itself
        try:
            asked = [urllib3.request("GET", balancer.url, retries=False) for _ in range(12)]
        finally:
            os.kill(store, signal.SIGCONT)
        assert {answer.status for answer in asked} == {200}
        assert {answer.headers["X-Forwarded-Server"] for answer in asked} == {s.url for s in three}

        three[1].behaviour = lambda _request: response(200)
        eventually(lambda: not pool.snapshot().fails_open, what="one server up")
        asked = [urllib3.request("GET", balancer.url, retries=False) for _ in range(6)]
        assert {answer.headers["X-Forwarded-Server"] for answer in asked} == {three[1].url}
        balancer.wait_log("the pool no longer fails open")
        assert [event.kind for event in pool.events() if event.kind.startswith("fail-open")] == [
            "fail-open",
            "fail-open-ended",
        ]


def test_servers_that_are_gone_are_502_and_503_where_it_is_turned_off(three: list[HttpServer]) -> None:
    config = {"servers": [server.url for server in three], **SETTINGS}
    for server in three:
        server.stop()
    with Balancer(config) as balancer:
        pool = balancer.pool()
        eventually(lambda: all_down(pool), what="all down")
        assert urllib3.request("GET", balancer.url, retries=False).status == 502
        values = json.loads(balancer.config_path.read_text())
        values["healthCheck"]["failOpen"] = False
        balancer.config_path.write_text(json.dumps(values))
        balancer.process.send_signal(signal.SIGHUP)
        eventually(lambda: urllib3.request("GET", balancer.url, retries=False).status == 503, what="503")
