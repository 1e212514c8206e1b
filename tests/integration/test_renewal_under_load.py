"""Reloads and upgrades at full load: wrk, a WebSocket and a long download see what clients see."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.integration.balancer import Balancer
from tests.integration.load import Client
from tests.integration.nginx import running_nginx
from tests.support import eventually

pytestmark = [
    pytest.mark.alone,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("wrk")), reason="needs nginx and wrk"),
]

DOWNLOAD_BYTES = 100 << 20
WORKERS = 2
#: A renewal waits for new interpreters, on processors that the load has for itself.
RENEWAL_SECONDS = 60.0
#: What wrk calls a time-out; its own 2 s are not much where other things keep the processors busy.
LATE = "5s"
COUNTS = Path(__file__).parents[1] / "benchmarks" / "wrk.lua"

SERVER = """
    location = / { return 200 "here\\n"; }
    location = /socket {
        proxy_pass http://127.0.0.1:{socket_port};
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout 1h;
    }
"""
ALL_SERVERS = """
    default_type application/octet-stream;
    keepalive_requests 1000000000;
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Fast servers, of which each has a file to download and passes /socket on to a WebSocket's echo."""

    urls: list[str]
    digest: str  # of the file


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    home = tmp_path_factory.mktemp("nginx")
    (home / "files").mkdir()
    content = random.Random(5).randbytes(DOWNLOAD_BYTES)
    (home / "files" / "download").write_bytes(content)
    with echo_server() as socket_port:
        server = SERVER.replace("{socket_port}", str(socket_port))
        with running_nginx(home, server, ALL_SERVERS, count=2) as ports:
            urls = [f"http://127.0.0.1:{port}" for port in ports]
            yield Origin(urls, hashlib.sha256(content).hexdigest())


@contextmanager
def echo_server() -> Iterator[int]:
    def echo(server: ServerConnection) -> None:
        for message in server:
            server.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def balancer(origin: Origin) -> Iterator[Balancer]:
    with Balancer({"servers": origin.urls, "gracefulTimeout": "3s"}, workers=WORKERS) as running:
        yield running


class Wrk:
    """wrk at full speed from entry to exit."""

    def __init__(self, url: str, connections: int, *headers: str) -> None:
        lines = [word for header in headers for word in ("-H", header)]
        self._command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            "-d1h",
            "--timeout",
            LATE,
            "-s",
            str(COUNTS),
            *lines,
            url,
            "--",
            "GET",
            "0",
        ]
        self.requests = 0
        self.errors: dict[str, int] = {}  # kind → count, of those that happened

    def __enter__(self) -> Wrk:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)  # it stops and counts
        counted = json.loads(self._process.communicate(timeout=30)[0].splitlines()[-1])
        self.requests = counted["requests"]
        self.errors = {kind: count for kind, count in counted["errors"].items() if count}


@contextmanager
def full_load(balancer: Balancer) -> Iterator[tuple[Wrk, Wrk]]:
    """Keep 64 connections busy, and others that each live for one request."""
    with (
        Wrk(f"{balancer.url}/", 64) as lasting,
        Wrk(f"{balancer.url}/", 8, "Connection: close") as passing,
    ):
        yield lasting, passing


class Download:
    """A slow client of the file: it takes a little now and then, and the rest when it is told to hurry."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)
        self._client.send(self._client.head("GET", "/download"))
        self._hurry = threading.Event()
        self._received = 0
        self._hash = hashlib.sha256()
        self._thread = threading.Thread(target=self._read)
        self._head = b""

    def __enter__(self) -> Download:
        while not self._head.endswith(b"\r\n\r\n"):
            self._head += self._client.socket.recv(1)
        assert self._head.startswith(b"HTTP/1.1 200 "), self._head
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hurry.set()
        self._thread.join(60)
        self._client.close()

    def digest(self) -> str:
        """Take the rest, and return the digest of it all."""
        self._hurry.set()
        self._thread.join(60)
        return self._hash.hexdigest()

    def _read(self) -> None:
        while self._received < DOWNLOAD_BYTES and (data := self._client.socket.recv(1 << 18)):
            self._received += len(data)
            self._hash.update(data)
            self._hurry.wait(0.2)


def renew(balancer: Balancer, number: signal.Signals) -> None:
    """Send the signal, and wait until there are other workers, and the old that nobody needs have left."""
    before, done = set(balancer.worker_pids()), balancer.log.count("reload: done")
    balancer.process.send_signal(number)
    eventually(lambda: balancer.log.count("reload: done") > done, seconds=RENEWAL_SECONDS, what="the renewal")
    # the two at most that have the WebSocket and the download
    eventually(
        lambda: len(before & set(balancer.worker_pids())) <= 2,
        seconds=RENEWAL_SECONDS,
        what="the others' end",
    )


def test_renewals_cost_no_request_and_cut_nothing(balancer: Balancer, origin: Origin) -> None:
    with ExitStack() as stack:
        download = stack.enter_context(Download(balancer.url))
        chat: ClientConnection = stack.enter_context(connect(f"{balancer.url.replace('http', 'ws')}/socket"))
        with full_load(balancer) as wrks:
            for number in (*[signal.SIGHUP] * 5, signal.SIGUSR2):
                renew(balancer, number)
                chat.send(number.name)
                assert chat.recv(10) == number.name
        assert download.digest() == origin.digest
        chat.send("the end")
        assert chat.recv(10) == "the end"
    assert [wrk.errors for wrk in wrks] == [{}, {}]
    assert all(wrk.requests > 100 for wrk in wrks)
    assert balancer.log.count("reload: done") == 6


def test_more_and_fewer_workers_cost_no_request(balancer: Balancer) -> None:
    with full_load(balancer) as wrks:
        for number, count in (
            (signal.SIGTTIN, WORKERS + 1),
            (signal.SIGTTIN, WORKERS + 2),
            (signal.SIGTTOU, WORKERS + 1),
            (signal.SIGTTOU, WORKERS),
            (signal.SIGTTOU, WORKERS - 1),
        ):
            balancer.process.send_signal(number)
            eventually(worker_count_is(balancer, count), seconds=RENEWAL_SECONDS, what=f"{count} workers")
    assert [wrk.errors for wrk in wrks] == [{}, {}]


def worker_count_is(balancer: Balancer, count: int) -> Callable[[], bool]:
    return lambda: len(balancer.worker_pids()) == count
