"""nginx as the server behind, and wrk as the client: both as they come, and neither ours."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

import pytest

from lb.model import Admin, ServerId, ServerSpec, Source
from tests.integration.fleet import Fleet
from tests.integration.load import Client
from tests.integration.nginx import running_nginx

pytestmark = pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed")

PAGE = b"".join(b"line %d of a page\n" % number for number in range(5000))
LARGE = bytes(range(256)) * (16 << 12)  # 16 MiB

SERVER = """
    keepalive_requests 5;
    location = /closes { return 444; }
    location = /port { return 200 $server_port; }
    location = /connection { return 200 $connection; }
    location = /small { client_max_body_size 1k; proxy_pass http://127.0.0.1:9; }
    location /moved { return 301 /page.txt; }
    location /failed { return 500 "oh\\n"; }
    location /busy { return 503 "later\\n"; }
    location /slow { limit_rate 2m; alias {home}/files/; }
"""
ALL_SERVERS = """
    types { text/plain txt; }
    gzip on;
    gzip_types text/plain;
    keepalive_timeout 60s;
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx that listens on several ports: as many servers."""

    ids: tuple[ServerId, ...]

    def join(self, plane: Fleet, count: int = 1) -> None:
        """Put so many of the servers into the pool."""
        for server in self.ids[:count]:
            plane.pool.add(ServerSpec(server, f"http://{server}"), Source.ADMIN, "test")


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    home = tmp_path_factory.mktemp("nginx")
    (home / "files").mkdir()
    (home / "files" / "page.txt").write_bytes(PAGE)
    (home / "files" / "large").write_bytes(LARGE)
    with running_nginx(home, SERVER.replace("{home}", str(home)), ALL_SERVERS, count=3) as ports:
        yield Nginx(tuple(ServerId(f"127.0.0.1:{port}") for port in ports))


@pytest.fixture
def client(plane: Fleet, nginx: Nginx) -> Iterator[Client]:
    nginx.join(plane)
    with Client(plane.url) as client:
        yield client


def test_files_are_whole(client: Client) -> None:
    assert client.ask("GET", "/large").body == LARGE
    assert client.ask("GET", "/page.txt").body == PAGE


def test_ranges(client: Client) -> None:
    part = client.ask("GET", "/page.txt", "Range: bytes=5-9")
    assert (part.status, part.body) == (206, PAGE[5:10])
    assert part.header("Content-Range") == f"bytes 5-9/{len(PAGE)}"
    parts = client.ask("GET", "/page.txt", "Range: bytes=0-3,-4")
    assert parts.status == 206
    assert (parts.header("Content-Type") or "").startswith("multipart/byteranges")
    assert client.ask("GET", "/page.txt", "Range: bytes=999999999-").status == 416
    assert client.ask("GET", "/page.txt").status == 200


def test_what_was_not_modified_has_no_body(client: Client) -> None:
    tag = client.ask("HEAD", "/page.txt").header("ETag")
    for _ in range(3):
        same = client.ask("GET", "/page.txt", f"If-None-Match: {tag}")
        assert (same.status, same.header("ETag")) == (304, tag)
    assert client.ask("GET", "/page.txt", 'If-None-Match: "other"').body == PAGE


def test_compressed_on_the_fly(client: Client) -> None:
    """Its length is not known before the end, so it comes in chunks."""
    packed = client.ask("GET", "/page.txt", "Accept-Encoding: gzip")
    assert packed.header("Content-Encoding") == "gzip"
    assert packed.header("Transfer-Encoding") == "chunked"
    assert gzip.decompress(packed.body) == PAGE
    assert client.ask("HEAD", "/page.txt", "Accept-Encoding: gzip").status == 200
    assert client.ask("GET", "/page.txt").body == PAGE


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_ends_its_connections_is_not_noticed(client: Client, method: str) -> None:
    """nginx closes a connection after five requests."""
    connections = {client.ask(method, "/connection").body for _ in range(25)}
    assert len(connections) >= 5


def test_a_server_that_hangs_up_without_an_answer(client: Client) -> None:
    answer = client.ask("GET", "/closes")
    assert (answer.status, answer.header("Connection")) == (502, "close")
    assert client.ended()


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [("/failed", 500, b"oh\n"), ("/busy", 503, b"later\n"), ("/none", 404, None), ("/moved", 301, None)],
)
def test_statuses_pass_with_their_bodies(
    client: Client, target: str, status: int, body: bytes | None
) -> None:
    for _ in range(2):
        answer = client.ask("GET", target)
        assert answer.status == status
        assert body is None or answer.body == body


def test_an_early_refusal_of_a_body_arrives(client: Client) -> None:
    """nginx answers after the head, and closes while the body is still being sent."""
    client.send(client.head("POST", "/small", f"Content-Length: {len(LARGE)}"))
    for start in range(0, len(LARGE), 65536):
        try:
            client.send(LARGE[start : start + 65536])
        except OSError:
            break  # nobody reads on
    assert client.receive("POST").status == 413


def test_a_response_that_trickles_is_whole(client: Client) -> None:
    assert client.ask("GET", "/slow/page.txt").body == PAGE


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_servers_come_and_go_under_load_without_an_error(plane: Fleet, nginx: Nginx) -> None:
    nginx.join(plane)
    first, second, third = nginx.ids
    command = ["wrk", "-t", "1", "-c", "32", "-d", "3s", f"{plane.url}/port"]
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for server in cycle((second, third)):
        plane.pool.add(ServerSpec(server, f"http://{server}"), Source.ADMIN, "test")
        plane.pool.set_admin(first, Admin.DRAIN, "test")
        plane.pool.set_admin(first, Admin.READY, "test")
        plane.pool.remove(server, "test")
        if load.poll() is not None:
            break
    told, _ = load.communicate(timeout=20)
    requests = re.search(r"(\d+) requests in", told)
    assert requests, told
    assert int(requests[1]) > 100
    assert "Non-2xx" not in told
    assert "Socket errors" not in told, told
