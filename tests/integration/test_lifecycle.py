"""The life of `lb run` as an operator sees it: start, refusals, deaths and the end, with real processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import urllib3

from lb.model import ServerId, ServerSpec, Source
from tests.integration.balancer import Balancer
from tests.integration.servers import HttpServer, Request, response
from tests.support import eventually, free_port


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer() as running:
        yield running


@pytest.fixture
def config(server: HttpServer) -> dict[str, Any]:
    return {"servers": [server.url]}


@pytest.fixture(scope="module")
def lasting() -> Iterator[Balancer]:
    """One that its tests leave as they find it, if with other processes perhaps."""
    with HttpServer() as server, Balancer({"servers": [server.url]}) as balancer:
        yield balancer


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def get(url: str) -> str:
    answer = urllib3.request("GET", url, timeout=5, retries=False)
    return f"{answer.status} {answer.data.decode()}"


def get_or_none(url: str) -> str | None:
    try:
        return get(url)
    except urllib3.exceptions.HTTPError:
        return None


# --- start


def test_ready_line_says_all_that_an_operator_needs(config: dict[str, Any], server: HttpServer) -> None:
    with Balancer(config, workers=2) as balancer:
        expected = (
            r"lb: listening on http://127\.0\.0\.1:\d+ — 2 workers, round-robin, 1 server, "
            r"admin on http://127\.0\.0\.1:\d+\n"
        )
        assert re.search(expected, balancer.log)
        assert f"redis-cli -s {balancer.store_socket}\n" in balancer.log
        assert get(balancer.url) == f"200 {server.id}"
        assert len(balancer.worker_pids()) == 2


def test_every_role_runs_once_and_only_its_owner_may_look_into_the_data(lasting: Balancer) -> None:
    for role in ("store", "worker", "health-checker", "api"):
        assert len(lasting.pids(role)) == 1, role
    assert len(lasting.pids()) == 4
    assert stat.S_IMODE(lasting.data_dir.stat().st_mode) == 0o700


def test_all_addresses_are_ipv6_and_ipv4(config: dict[str, Any], server: HttpServer) -> None:
    with Balancer({**config, "port": ":0"}) as balancer:
        port = balancer.url.rpartition(":")[2]
        assert balancer.url == f"http://0.0.0.0:{port}"
        assert get(f"http://127.0.0.1:{port}") == f"200 {server.id}"
        assert get(f"http://[::1]:{port}") == f"200 {server.id}"


def test_secrets_and_data_are_the_users_alone(config: dict[str, Any]) -> None:
    """In arguments, environments, and what each process has open; also with an open umask."""
    token = "a-token-that-nobody-may-see"
    secret = {**config, "admin": {"listen": "127.0.0.1:0", "token": token}}
    balancer = Balancer(secret)
    balancer.run_with("sh", "-c", 'umask 0; exec "$@"', "sh")
    with balancer:
        for pid in balancer.pids():
            for place in ("cmdline", "environ"):
                assert token.encode() not in Path(f"/proc/{pid}/{place}").read_bytes()
            for number, file in opened(pid).items():
                if file.startswith("/memfd:"):
                    assert token.encode() not in Path(f"/proc/{pid}/fd/{number}").read_bytes(), (pid, number)
        [store] = balancer.pids("store")
        assert not [file for file in opened(store).values() if "memfd" in file]
        assert ports(store) == set()
        for file in balancer.data_dir.rglob("*"):
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
        assert stat.S_IMODE(balancer.data_dir.stat().st_mode) == 0o700


def opened(pid: int) -> dict[str, str]:
    """What a process has open, by its descriptors."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found[entry.name] = str(entry.readlink())
    return found


def ports(pid: int) -> set[str]:
    """The sockets of a process that are TCP's."""
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    inodes = {f"socket:[{line[9]}]" for line in lines}
    return inodes & set(opened(pid).values())


# --- refusals


def test_a_taken_client_port_is_one_clear_line(config: dict[str, Any], taken_port: int) -> None:
    balancer = Balancer(config, arguments=["--port", f"127.0.0.1:{taken_port}"])
    assert balancer.refusal() == (
        f"lb: error: cannot listen on 127.0.0.1:{taken_port}: address already in use; "
        "something listens there already; stop it or choose another with --port\n"
    )


def test_a_taken_admin_port_is_one_clear_line(config: dict[str, Any], taken_port: int) -> None:
    said = Balancer({**config, "admin": {"listen": f"127.0.0.1:{taken_port}"}}).refusal()
    assert said.startswith(f"lb: error: cannot listen on 127.0.0.1:{taken_port}: address already in use; ")
    assert '"admin": {"listen": …}' in said
    assert said.count("\n") == 1


def test_every_problem_of_a_bad_config_is_a_line(config: dict[str, Any]) -> None:
    said = Balancer({**config, "lbAlgo": "round-robbin", "maxRetries": -1}).refusal()
    lines = said.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("lb: error: config.json: ") for line in lines)


def test_an_unreachable_redis_is_reported_soon(config: dict[str, Any]) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"redis://:secret@127.0.0.1:{unheard.getsockname()[1]}"
        before = time.monotonic()
        said = Balancer(config, arguments=["--redis", url]).refusal()
    assert "waiting up to 3 s for the store" in said
    assert time.monotonic() - before < 15  # three interpreters start too, on a machine that may be busy
    errors = [line for line in said.splitlines() if line.startswith("lb: error: ")]
    assert len(errors) == 1
    assert f"127.0.0.1:{unheard_port(url)}" in errors[0]
    assert "secret" not in said
    assert "Traceback" not in said


def unheard_port(url: str) -> str:
    return url.rpartition(":")[2]


def test_a_second_run_on_the_same_directory_names_the_first(
    lasting: Balancer, config: dict[str, Any]
) -> None:
    second = Balancer(config, arguments=["--data-dir", str(lasting.data_dir)])
    assert second.refusal() == (
        f"lb: error: {lasting.data_dir} is in use by lb run, pid {lasting.process.pid}; "
        "stop that one, or choose another with --data-dir\n"
    )
    assert get(lasting.url).startswith("200 ")


# --- deaths


@pytest.mark.parametrize("role", ["worker", "store", "health-checker", "api"])
def test_a_killed_process_comes_back(lasting: Balancer, role: str) -> None:
    [victim] = eventually(lambda: lasting.pids(role))
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: set(lasting.pids(role)) - {victim}, seconds=15, what=f"another {role}")
    lasting.wait_log(
        rf"lb\[supervisor\] {role} {victim} ended \(killed by SIGKILL\), starting another in 0\.1 s"
    )
    eventually(lambda: (get_or_none(lasting.url) or "").startswith("200 "), seconds=15, what="an answer")


def test_a_store_whose_socket_was_deleted_is_replaced_by_one_with_the_same_data(
    config: dict[str, Any],
) -> None:
    with Balancer(config) as balancer:
        with redis.Redis.from_url(balancer.store_url) as store:
            store.set("note", "kept")
            eventually(lambda: "aof_pending_bio_fsync:0" in _persistence(store))
        [victim] = balancer.pids("store")
        balancer.store_socket.unlink()
        assert get(balancer.url).startswith("200 ")
        balancer.wait_log(
            rf"{balancer.store_socket} was deleted, so nobody reaches store {victim}: starting another"
        )
        with redis.Redis.from_url(balancer.store_url) as store:
            eventually(lambda: _read(store, "note") == b"kept", seconds=15)
        assert get(balancer.url).startswith("200 ")


def _persistence(store: redis.Redis) -> str:
    return "".join(f"{name}:{value}\n" for name, value in store.info("persistence").items())


def _read(store: redis.Redis, key: str) -> bytes | None:
    try:
        return store.get(key)
    except redis.ConnectionError:
        return None


def test_a_killed_supervisor_leaves_nothing_running(config: dict[str, Any]) -> None:
    with Balancer(config, workers=2) as balancer:
        balancer.process.kill()
        assert balancer.wait() == -signal.SIGKILL
        eventually(lambda: not balancer.leftovers(), seconds=15, what="the end of all processes")


def test_the_next_run_can_start_at_once_after_a_killed_supervisor(config: dict[str, Any]) -> None:
    """It waits for the old store, which may still be writing, and knows what operators added."""
    added = ServerSpec(ServerId("localhost:9"), "http://localhost:9")
    with Balancer(config) as killed:
        killed.pool().add(added, Source.ADMIN, "test")
        killed.process.kill()
        killed.wait()
        with Balancer(config, arguments=["--data-dir", str(killed.data_dir)]) as heir:
            assert get(heir.url).startswith("200 ")
            assert added.id in [one.server.id for one in killed.pool().list()]


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(lasting: Balancer) -> None:
    [victim] = lasting.worker_pids()
    os.kill(victim, signal.SIGSTOP)
    lasting.wait_log(rf"worker {victim} has given no sign of life for 1\d s, replacing it", seconds=25)
    eventually(lambda: get_or_none(lasting.url), seconds=15, what="an answer")
    assert victim not in lasting.worker_pids()


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_all_with_status_0(config: dict[str, Any], number: signal.Signals) -> None:
    with Balancer(config, workers=2) as balancer:
        assert balancer.stop(number) == 0
        assert balancer.leftovers() == []


def test_requests_in_flight_are_answered_before_the_end(config: dict[str, Any], server: HttpServer) -> None:
    arrived, go_on, answers = threading.Event(), threading.Event(), list[str]()

    def slow(request: Request) -> bytes:
        if request.method == "GET":
            arrived.set()
            go_on.wait(10)
        return response(200, b"late")

    server.behaviour = slow
    with Balancer(config) as balancer:
        client = threading.Thread(target=lambda: answers.append(get(balancer.url)))
        client.start()
        assert arrived.wait(10)
        balancer.process.send_signal(signal.SIGTERM)
        balancer.wait_log("stopping")
        assert balancer.process.poll() is None
        go_on.set()
        client.join(10)
        assert answers == ["200 late"]
        assert balancer.wait() == 0


def test_a_second_signal_does_not_wait_for_requests(config: dict[str, Any], server: HttpServer) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def stuck(request: Request) -> bytes:
        if request.method == "GET":
            arrived.set()
            go_on.wait(20)
        return response()

    server.behaviour = stuck
    with Balancer({**config, "gracefulTimeout": "60s"}) as balancer:
        with socket.create_connection(("127.0.0.1", int(balancer.url.rpartition(":")[2]))) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
            assert arrived.wait(10)
            balancer.process.send_signal(signal.SIGTERM)
            balancer.wait_log("stopping")
            assert balancer.stop() == 0
            go_on.set()


# --- demo


def test_demo_brings_its_own_servers() -> None:
    name = f"localhost:{free_port()}"
    with Balancer({"servers": [f"http://{name}"]}, command="demo") as balancer:
        assert get(balancer.url) == f"200 server {name}\n"
        assert len(balancer.pids("servers")) == 1
