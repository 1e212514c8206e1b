"""A server that was dark for longer than `threshold` comes back by itself, with real processes."""

from __future__ import annotations

import json
import time
from typing import Any

import urllib3

from lb.store.pool import BackendPool
from tests.integration.balancer import Balancer
from tests.integration.servers import HttpServer
from tests.support import eventually

SETTINGS: dict[str, Any] = {"healthCheckInterval": "200ms", "threshold": "500ms"}


def members(pool: BackendPool) -> set[str]:
    return {server.id for server in pool.snapshot().servers}


def test_a_server_that_was_removed_for_its_silence_serves_again_soon_after_it_is_back(
    three: list[HttpServer],
) -> None:
    dark = three[2]
    with Balancer({"servers": [server.url for server in three], **SETTINGS}) as balancer:
        pool = balancer.pool()
        dark.stop()
        eventually(lambda: dark.id not in members(pool), seconds=20, what="the removal")
        (gone,) = json.loads(balancer.admin("list", "--removed", "--json"))
        assert (gone["id"], gone["returns"]) == (dark.id, True)

        dark.start()
        started = time.monotonic()
        eventually(lambda: dark.id in members(pool), seconds=15, what="the return")
        assert time.monotonic() - started < 15
        served = {
            urllib3.request("GET", balancer.url, retries=False).headers["X-Forwarded-Server"]
            for _ in range(6)
        }
        assert dark.url in served
        balancer.wait_log(f"server {dark.id} is back in the pool")
        assert "returned" in {event.kind for event in pool.events() if event.server == dark.id}


def test_what_an_operator_removed_is_not_even_asked(three: list[HttpServer]) -> None:
    with Balancer({"servers": [server.url for server in three], **SETTINGS}) as balancer:
        pool = balancer.pool()
        balancer.admin("remove", three[2].id)
        eventually(lambda: three[0].requests, what="a check")
        checks = [len(server.requests) for server in three]
        eventually(lambda: len(three[0].requests) > checks[0] + 15, what="many checks of another")
        assert len(three[2].requests) <= checks[2] + 1  # one may have been on its way
        assert members(pool) == {three[0].id, three[1].id}


def test_without_a_threshold_a_silent_server_stays(three: list[HttpServer]) -> None:
    config = {"servers": [server.url for server in three], **SETTINGS, "threshold": "off"}
    three[2].stop()
    with Balancer(config) as balancer:
        balancer.wait_log(f"server {three[2].id} is down")
        checks = len(three[0].requests)
        eventually(lambda: len(three[0].requests) > checks + 10, what="many further checks")
        assert three[2].id in members(balancer.pool())
