"""Health from end to end: real processes, servers that die and come back, and clients that notice nothing."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import urllib3

from lb.model import Health
from lb.store.pool import BackendPool
from tests.integration.balancer import Balancer
from tests.integration.servers import HttpServer, Request, response
from tests.support import eventually

INTERVAL = 0.2
FALL = 3
#: Checks alone decide, and soon; the threshold is far away.
SETTINGS: dict[str, Any] = {
    "healthCheckInterval": "200ms",
    "healthCheck": {"timeout": "500ms"},
    "passiveHealth": {"failures": 0},
}

Start = Callable[..., Balancer]


@pytest.fixture
def start(three: list[HttpServer]) -> Iterator[Start]:
    """Start a balancer for the three servers."""
    with ExitStack() as stack:

        def run(**settings: Any) -> Balancer:
            config = {"servers": [server.url for server in three], **SETTINGS, **settings}
            return stack.enter_context(Balancer(config))

        yield run


def health(pool: BackendPool) -> dict[str, Health]:
    return {status.server.id: status.server.health for status in pool.list()}


def all_checked(pool: BackendPool) -> bool:
    return all(status.last_check for status in pool.list())


def get(balancer: Balancer) -> str:
    answer = urllib3.request("GET", balancer.url, timeout=5, retries=False)
    assert answer.status == 200, answer.data
    return answer.data.decode()


def test_a_dead_server_goes_down_within_fall_intervals_and_comes_back_after_rise(
    start: Start, three: list[HttpServer]
) -> None:
    balancer = start()
    pool = balancer.pool()
    dead = three[1]
    eventually(lambda: all_checked(pool), what="a check of each server")

    dead.stop()
    killed = time.monotonic()
    eventually(lambda: health(pool)[dead.id] is Health.DOWN, what="down")
    assert time.monotonic() - killed < 5 * INTERVAL + 5  # three intervals, jitter, and a busy machine
    (status,) = [status for status in pool.list() if status.server.id == dead.id]
    assert status.server.reason == "check: connection refused"
    assert {get(balancer) for _ in range(9)} == {three[0].id, three[2].id}

    dead.start()
    eventually(lambda: health(pool)[dead.id] is Health.UP, what="up again")
    assert {get(balancer) for _ in range(9)} == {server.id for server in three}


def test_a_server_that_answers_with_errors_goes_down_and_is_not_removed(
    start: Start, three: list[HttpServer]
) -> None:
    three[0].behaviour = lambda _request: response(500)
    balancer = start(threshold="300ms")
    pool = balancer.pool()
    balancer.wait_log(
        f"server {three[0].id} is down: check: status 500 \\(expected 200-499\\); see healthCheck.path"
    )
    checks = len(three[0].requests)
    eventually(lambda: len(three[0].requests) > checks + 5, what="five further checks")
    assert health(pool)[three[0].id] is Health.DOWN


def test_a_route_that_answers_503_takes_no_server_away_from_the_others(
    start: Start, three: list[HttpServer]
) -> None:
    for server in three:
        server.behaviour = lambda request: response(503 if request.target == "/busy" else 200)
    balancer = start(passiveHealth={})
    with urllib3.PoolManager(retries=False) as client:
        statuses = {client.request("GET", f"{balancer.url}/busy").status for _ in range(100)}
        assert statuses == {503}
        assert {client.request("GET", balancer.url).status for _ in range(9)} == {200}
    assert [(status.server.health, status.failures) for status in balancer.pool().list()] == 3 * [
        (Health.UP, 0)
    ]
    assert {event.kind for event in balancer.pool().events()} & {"down"} == set()


def test_an_application_that_does_not_know_head_stays_up(start: Start, three: list[HttpServer]) -> None:
    """As a FastAPI application does, whether its `/` wants a login, is forbidden, or does not exist."""
    for server, front in zip(three, (401, 403, 404), strict=True):
        server.behaviour = lambda request, front=front: response(405 if request.method == "HEAD" else front)
    balancer = start()
    eventually(lambda: all(len(server.requests) > 3 * FALL for server in three), what="many checks")
    with urllib3.PoolManager(retries=False) as client:
        assert {client.request("GET", balancer.url).status for _ in range(9)} == {401, 403, 404}
    assert {event.kind for event in balancer.pool().events()} & {"down", "removed"} == set()
    for server in three:
        assert [request.method for request in server.requests].count("HEAD") == 1


def test_a_hanging_server_goes_down_and_delays_no_check_of_the_others(
    start: Start, three: list[HttpServer]
) -> None:
    with ExitStack() as hanging:

        def hang(request: Request) -> bytes | None:
            if request.target == "/check":
                eventually(lambda: released, seconds=30)
            return response(200)

        released: list[bool] = []
        hanging.callback(released.append, True)
        three[0].behaviour = hang
        balancer = start(healthCheck={"timeout": "2s", "path": "/check"})
        pool = balancer.pool()
        eventually(
            lambda: all(len(server.requests) >= 5 for server in three[1:]), what="checks of the others"
        )
        assert len(three[0].requests) == 1
        eventually(lambda: health(pool)[three[0].id] is Health.DOWN, seconds=15, what="down")
        balancer.wait_log(f"server {three[0].id} is down: check: timed out after 2 s")


def test_a_silent_server_is_removed_past_the_threshold_and_can_be_restored(
    start: Start, three: list[HttpServer]
) -> None:
    balancer = start(threshold="1s")
    pool = balancer.pool()
    eventually(lambda: all_checked(pool), what="a check of each server")
    three[2].stop()
    gone = three[2].id
    eventually(lambda: gone not in health(pool), seconds=10, what="the removal")
    balancer.wait_log(f"server {gone} is removed: no answer for 1 s")
    assert [record["id"] for record in json.loads(balancer.admin("list", "--removed", "--json"))] == [gone]

    three[2].start()
    balancer.admin("restore", gone)
    assert {get(balancer) for _ in range(9)} == {server.id for server in three}
    checks = len(three[2].requests)
    eventually(lambda: len(three[2].requests) > checks + 2, what="checks of the restored server")
    assert health(pool)[gone] is Health.UP


def test_half_of_the_pool_is_never_removed(start: Start, three: list[HttpServer]) -> None:
    """When all servers seem silent, the health-checker may be the one that is cut off."""
    balancer = start(threshold="500ms")
    pool = balancer.pool()
    eventually(lambda: all_checked(pool), what="a check of each server")
    for server in three:
        server.stop()
    refusals = eventually(
        lambda: [event for event in pool.events() if event.kind == "removal-refused"],
        seconds=10,
        what="a refused removal",
    )
    assert "half of the pool stays" in refusals[0].detail
    assert len(health(pool)) == 2

    for server in three:
        server.start()
    eventually(lambda: set(health(pool).values()) == {Health.UP}, what="the rest up again")
    assert get(balancer)


def test_what_other_settings_found_is_judged_anew_within_a_second_of_a_reload(
    start: Start, three: list[HttpServer]
) -> None:
    """The interval is far too long for what takes several checks."""
    for server in three:
        server.behaviour = lambda request: response(200 if request.target == "/works" else 404)
    balancer = start(healthCheckInterval="200ms", healthCheck={"path": "/wrong"})
    pool = balancer.pool()
    eventually(lambda: Health.UP not in health(pool).values(), what="all down")
    values = json.loads(balancer.config_path.read_text())
    values |= {"healthCheckInterval": "1m", "healthCheck": {"path": "/works"}}
    balancer.config_path.write_text(json.dumps(values))
    balancer.process.send_signal(signal.SIGHUP)
    eventually(lambda: set(health(pool).values()) == {Health.UP}, seconds=30, what="all up")


def test_a_killed_health_checker_is_replaced_and_checks_go_on(start: Start, three: list[HttpServer]) -> None:
    balancer = start()
    pool = balancer.pool()
    eventually(lambda: all_checked(pool), what="a check of each server")
    (pid,) = balancer.pids("health-checker")
    os.kill(pid, signal.SIGKILL)
    three[0].stop()
    eventually(lambda: health(pool)[three[0].id] is Health.DOWN, seconds=15, what="down")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_health_checker_that_ends_is_followed_at_once(
    start: Start, three: list[HttpServer], number: signal.Signals
) -> None:
    """The lease would last for ten seconds, and so would the time to the next check of the same checker."""
    balancer = start(healthCheckInterval="10s")
    pool = balancer.pool()
    eventually(lambda: all_checked(pool), what="a check of each server")
    (first,) = balancer.pids("health-checker")
    os.kill(first, number)  # the supervisor starts another
    before = [status.last_check_at for status in pool.list()]
    eventually(
        lambda: all(status.last_check_at not in before for status in pool.list()),
        seconds=9,
        what="checks of the successor",
    )
    assert balancer.pids("health-checker") != [first]
