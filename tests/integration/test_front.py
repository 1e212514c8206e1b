"""What lb/docs/http.md puts in front of the balancer: nginx ends TLS and HTTP/2, and its word is believed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

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
    return response(200, json.dumps({name.lower(): value for name, value in request.headers}).encode())


def test_nginx_as_the_guide_has_it(tmp_path: Path) -> None:
    key = tmp_path / "www.key"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(key)
    port = free_port()
    with HttpServer(what_it_got) as server:
        config = json.loads(snippet("json")) | {"port": "127.0.0.1:0", "servers": [server.url]}
        with Balancer(config) as balancer:
            front = snippet("nginx").replace("127.0.0.1:8080", balancer.url.removeprefix("http://"))
            front = front.replace("443", f"127.0.0.1:{port}").replace("/etc/ssl/www.pem", str(key))
            with running_nginx(tmp_path, "", front.replace("/etc/ssl/www.key", str(key))):
                command = ["curl", "-sk", "--http2", "-D", "-", f"https://127.0.0.1:{port}/page"]
                done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20)
    head, _, body = done.stdout.partition("\n\n")
    assert head.startswith("HTTP/2 200")
    assert "x-forwarded-server" not in head
    got = json.loads(body)
    assert got["x-forwarded-proto"] == "https"
    assert got["x-forwarded-for"] == "127.0.0.1, 127.0.0.1"
    assert got["host"] == "127.0.0.1"
