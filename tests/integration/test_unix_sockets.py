"""Unix sockets at both ends: clients such as curl come by one, and servers listen on one."""

from __future__ import annotations

import json
import shutil
import signal
import socketserver
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.integration.balancer import Balancer
from tests.support import eventually


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        seen = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({**seen, "target": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(path: Path) -> Iterator[str]:
    with _Server(str(path), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"unix:{path}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="lb-"))  # short: a socket's path must be
    yield path
    shutil.rmtree(path)


def curl(path: Path, *arguments: str) -> str:
    command = ["curl", "-sS", "--max-time", "10", "--unix-socket", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_requests_go_from_one_unix_socket_to_another(home: Path) -> None:
    path = home / "lb.sock"
    with serving(home / "a.sock") as one, serving(home / "b.sock") as other:
        config = {"port": f"unix:{path}", "servers": [one], "healthCheckInterval": "100ms"}
        with Balancer(config) as balancer:
            assert balancer.url == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            head, _, body = curl(path, "-i", "http://shop.example/x?y").partition("\n\n")
            assert f"X-Forwarded-Server: {one}" in head
            seen = json.loads(body)
            assert (seen["target"], seen["host"], seen["x-forwarded-proto"]) == (
                "/x?y",
                "shop.example",
                "http",
            )
            assert "x-forwarded-for" not in seen
            added = ["-d", json.dumps({"url": other}), "-H", "Content-Type: application/json"]
            subprocess.run(["curl", "-sSf", *added, f"{balancer.admin_url}/servers"], check=True)
            answers = [curl(path, "-i", "http://a/") for _ in range(4)]
            assert sum(f"X-Forwarded-Server: {other}" in answer for answer in answers) == 2
            servers = f"{balancer.admin_url}/servers"
            assert eventually(lambda: _checks(servers), what="health checks") == {"204 No Content"}
        assert not path.exists()


def test_the_socket_lives_through_upgrades_and_is_removed_at_the_end(home: Path) -> None:
    path = home / "lb.sock"
    with serving(home / "a.sock") as server:
        config = {"port": f"unix:{path}", "servers": [server], "healthCheck": {"fall": 1000}}
        with Balancer(config) as balancer:
            for upgrades in (1, 2):
                balancer.process.send_signal(signal.SIGUSR2)
                eventually(lambda: balancer.log.count("reload: done") == upgrades, seconds=30)  # noqa: B023
                assert "X-Forwarded-Server" in curl(path, "-i", "http://a/")
            with pytest.raises(AssertionError, match="something listens there already"):
                Balancer(config).__enter__()
        assert not path.exists()


def test_a_file_that_a_killed_balancer_left_is_replaced(home: Path) -> None:
    path = home / "lb.sock"
    with serving(home / "a.sock") as server:
        config = {"port": f"unix:{path}", "servers": [server]}
        with Balancer(config) as killed:
            killed.process.kill()
            killed.wait()
            assert path.exists()
            eventually(lambda: not killed.leftovers(), seconds=15)
            with Balancer(config):
                assert "X-Forwarded-Server" in curl(path, "-i", "http://a/")


def _checks(url: str) -> set[str]:
    """Return what came of the last check of each server, once there is one for each."""
    found = json.loads(subprocess.run(["curl", "-sS", url], capture_output=True, check=True).stdout)
    checks = [server["lastCheck"] for server in found]
    return {check["detail"] for check in checks} if all(checks) else set()
