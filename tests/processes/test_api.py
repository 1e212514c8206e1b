"""The admin API as a process: real sockets, real signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest
import urllib3

from lb.config import load
from lb.errors import ConfigError
from lb.metrics import scoreboard
from lb.metrics.meters import Meters
from lb.metrics.scoreboard import Scoreboard
from lb.model import ServerId
from lb.processes.api import run
from lb.processes.control import READY, Control
from lb.store.metrics import Metrics
from tests.support import eventually

SERVER = ServerId("localhost:5001")
TOKEN = "correct-horse-battery"


@dataclass
class Api:
    process: subprocess.Popen[str]
    address: tuple[str, int]
    control: socket.socket

    def send(self, request: bytes) -> bytes:
        """Send bytes, and return all that comes until the API closes the connection."""
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        with urllib3.HTTPConnectionPool(*self.address) as client:
            return client.request("GET", path, headers=headers, retries=False, timeout=10)


@contextmanager
def started(store_url: str, prefix: str, board: int | None = None, **environ: str) -> Iterator[Api]:
    """Run `lb api` as the supervisor does: on a socket and a control line that it inherits."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        passed_on = {"--listen-fd": listener.fileno(), "--control-fd": theirs.fileno()}
        if board is not None:
            passed_on["--scoreboard-fd"] = board
        options = [word for name, fd in passed_on.items() for word in (name, str(fd))]
        process = subprocess.Popen(
            [sys.executable, "-m", "lb", "api", *options],
            pass_fds=(*passed_on.values(),),
            env={**os.environ, "LB_REDIS": store_url, "LB_KEY_PREFIX": prefix, **environ},
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        theirs.close()
        ours.settimeout(10)
        assert ours.recv(1) == READY
        yield Api(process, listener.getsockname(), ours)


@pytest.fixture
def api(store_url, keys):
    with started(store_url, keys.prefix) as process:
        yield process


def test_it_serves_and_beats(api):
    assert api.get("/health").json() == {"healthy": True, "store": {"reachable": True}}
    assert api.control.recv(1) == b"."


def test_it_stops_cleanly_on_sigterm(api):
    assert api.get("/servers").json() == []
    api.process.send_signal(signal.SIGTERM)

    assert api.process.wait(10) == 0
    assert api.process.stderr.read() == ""


def test_it_stops_when_its_supervisor_is_gone(api):
    api.control.close()

    assert api.process.wait(10) == 0


def test_it_publishes_what_its_host_counts_until_its_end(store_url, connection, keys):
    def published() -> float:
        return Metrics(connection, keys).figures().totals.get(SERVER, {}).get("2xx/0.25", 0)

    board = scoreboard.create("web1")
    Scoreboard(board).grant(0)
    meters = Meters(Scoreboard(board), 0)
    with started(store_url, keys.prefix, board) as api:
        meters.answered(SERVER, 200, 0.25)
        eventually(lambda: published() == 1, seconds=10)
        meters.answered(SERVER, 200, 0.25)
        api.process.terminate()
        assert api.process.wait(10) == 0
    assert published() == 2
    os.close(board)


def test_what_is_not_http_is_refused_and_the_next_is_served(api):
    for nonsense in (b"\x16\x03\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        assert b" 400 " in api.send(nonsense).splitlines()[0]

    for fields in (b"A: 1\r\n", b"A: 1\r\n" * 200):  # it leaves within its head, or with the last word
        with socket.create_connection(api.address) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + fields)
            assert api.get("/health").status == 200  # so that was read by now
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert api.get("/health").status == 200
    api.process.terminate()
    assert api.process.stderr.read() == ""  # a port scan does not fill the log


@pytest.mark.parametrize("path", [b"/%ff%fe", b"/servers/%00", b"http://other/servers", b"*"])
def test_odd_paths_are_the_clients_fault(api, path):
    answer = api.send(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")

    assert head.split()[1][:1] == b"4"
    assert body.startswith(b"{")


def test_too_large_body_in_chunks(api):
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    answer = api.send(
        b"POST /servers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + 3 * chunk + b"0\r\n\r\n"
    )

    assert answer.split()[1] == b"413"
    assert b"<html" not in answer


def test_token_is_asked_for(store_url, keys):
    with started(store_url, keys.prefix, LB_ADMIN_TOKEN=TOKEN) as api:
        assert api.get("/servers").status == 401
        assert api.get("/servers", Authorization=f"Bearer {TOKEN}").status == 200
        assert api.get("/health").status == 200


def test_store_that_is_away_is_a_503_at_once(keys):
    with started("redis://127.0.0.1:1/0", keys.prefix) as api:
        assert api.get("/health").status == 503
        assert "cannot be reached" in api.get("/servers").json()["error"]


def test_without_a_token_it_does_not_serve_other_machines(store_url):
    config = load(None, {"LB_REDIS": store_url}, {})
    with socket.create_server(("0.0.0.0", 0)) as listener:
        with pytest.raises(ConfigError, match=r"0\.0\.0\.0 can be reached from other machines"):
            run(config, listener, Control())


def test_body_in_chunks(api):
    answer = api.send(
        b"PUT /strategy HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b'e\r\n{"strategy": "\r\n8\r\nrandom"}\r\n0\r\n\r\n'
    )

    assert answer.split()[1] == b"200"


def uploading(address: tuple[str, int], stop: threading.Event) -> None:
    """Send a body without an end, without a token, again and again."""
    while not stop.is_set():
        with suppress(OSError), socket.create_connection(address, timeout=10) as connection:
            connection.sendall(
                b"POST /servers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n"
            )
            while not stop.is_set():
                connection.sendall(bytes(65536))


def test_refused_uploads_keep_nobody_out(store_url, keys):
    """The process must also go on to give signs of life."""
    stop = threading.Event()
    with started(store_url, keys.prefix, LB_ADMIN_TOKEN=TOKEN) as api, ThreadPoolExecutor(4) as pool:
        try:
            uploads = [pool.submit(uploading, api.address, stop) for _ in range(4)]
            for _ in range(20):
                assert api.get("/health").status == 200
            for _ in range(3):
                assert api.control.recv(1) == b"."
        finally:
            stop.set()
        assert [upload.result() for upload in uploads] == [None] * 4


def test_a_refused_upload_gets_its_answer(store_url, keys):
    with started(store_url, keys.prefix, LB_ADMIN_TOKEN=TOKEN) as api:
        connection = http.client.HTTPConnection(*api.address, timeout=10)
        connection.request("POST", "/servers", bytes(8_000_000))
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (401, "close")
        assert "token" in json.loads(answer.read())["error"]
        connection.close()


def test_connections_that_say_little_keep_nobody_out(store_url, keys):
    with started(store_url, keys.prefix, LB_ADMIN_TOKEN=TOKEN) as api, ExitStack() as stack:
        for _ in range(300):
            connection = stack.enter_context(socket.create_connection(api.address, timeout=10))
            connection.sendall(b"G")
        assert api.get("/health").status == 200
        assert api.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 200
        api.process.terminate()
        assert api.process.wait(10) == 0
        lines = api.process.stderr.read().splitlines()
    assert 1 <= len(lines) <= 2, "the first, and a count"
    assert "admin API: 128 connections, the one that was silent for longest is closed" in lines[0]
