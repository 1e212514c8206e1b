"""What lb/docs/http.md puts in front of the balancer: nginx ends TLS and HTTP/2, and its word is believed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files

import pytest
import trustme

from tests.integration.balancer import Balancer
from tests.integration.nginx import running_nginx
from tests.integration.servers import HttpServer, Request, response
from tests.support import free_port

pytestmark = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("curl")), reason="nginx or curl is not installed"
)

GUIDE = files("lb").joinpath("docs", "http.md").read_text()


def snippet(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


def what_it_got(request: Request) -> bytes:
    if protocol := request.header("Upgrade"):
        head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        return head.encode()
    return response(200, json.dumps({name.lower(): value for name, value in request.headers}).encode())


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of nginx as the guide has it, but for places, in front of a balancer as the guide has it."""
    home = tmp_path_factory.mktemp("front")
    key = home / "www.key"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(key)
    with HttpServer(what_it_got) as server:
        config = json.loads(snippet("json")) | {"port": "127.0.0.1:0", "servers": [server.url]}
        with Balancer(config) as balancer:
            here = f"127.0.0.1:{free_port()}"
            text = snippet("nginx")
            for written, real in (
                ("127.0.0.1:8080", balancer.url.removeprefix("http://")),
                ("443", here),
                ("/etc/ssl/www.pem", str(key)),
                ("/etc/ssl/www.key", str(key)),
            ):
                assert written in text
                text = text.replace(written, real)
            with running_nginx(home, "", text):
                yield f"https://{here}"


def curl(*arguments: str) -> str:
    command = ["curl", "-sk", "--max-time", "10", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20).stdout


def test_http_2_becomes_http_1_and_the_client_is_known(front: str) -> None:
    head, _, body = curl("--http2", "-D", "-", f"{front}/page").partition("\n\n")
    assert head.startswith("HTTP/2 200")
    assert "x-forwarded-server" not in head
    got = json.loads(body)
    assert got["x-forwarded-proto"] == "https"
    assert got["x-forwarded-for"] == "127.0.0.1, 127.0.0.1"
    assert got["host"] == "127.0.0.1"


def test_what_a_client_claims_is_not_believed(front: str) -> None:
    got = json.loads(curl("-H", "X-Forwarded-For: 10.1.2.3", "-H", "X-Forwarded-Proto: gopher", front))
    assert (got["x-forwarded-for"], got["x-forwarded-proto"]) == ("127.0.0.1, 127.0.0.1", "https")


def test_upgrades_pass(front: str) -> None:
    upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: echo"]
    head = curl("--http1.1", "--max-time", "1", *upgrade, "-D", "-", front)
    assert head.startswith("HTTP/1.1 101")
    assert "Upgrade: echo" in head
