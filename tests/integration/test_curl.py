"""curl as a client: each row is what a user types, and what curl prints."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.fleet import Fleet, hanging
from tests.integration.servers import Request, response

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")

BIG = 8 << 20
DATA = bytes(range(256)) * (BIG // 256)


def site(request: Request) -> bytes:
    """A server with a few pages."""
    path = request.target.partition("?")[0]
    if path.startswith("/header/"):
        return response(200, (request.header(path.removeprefix("/header/")) or "none").encode())
    if path == "/gzip":
        return response(200, gzip.compress(b"unpacked"), ("Content-Encoding", "gzip"))
    if path == "/redirect":
        return response(302, b"", ("Location", "/target?after"))
    if path == "/big":
        return response(200, DATA)
    if path == "/size":
        return response(200, b"%d" % len(request.body))
    if path == "/trailer":
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
    if path.startswith("/status/"):
        return response(int(path.removeprefix("/status/")), b"page")
    return response(200, f"{request.method} {request.target} ".encode() + request.body)


#: Arguments after `curl -s`, with {} for the balancer's URL and BIG for a large file; what it prints.
CASES = {
    "get": ("{}/a?b=c", "GET /a?b=c "),
    "target as it is": ("--path-as-is {}/a/../b//c/./%2e", "GET /a/../b//c/./%2e "),
    "post": ("-d x=1 -d y=2 {}/form", "POST /form x=1&y=2"),
    "method of one's own": ("-X PURGE {}/cache", "PURGE /cache "),
    "delete with a body": ("-X DELETE -d gone {}/d", "DELETE /d gone"),
    "options of the server": ("-X OPTIONS --request-target * {}", "OPTIONS * "),
    "head": ("-I -o /dev/null -w %{http_code},%header{content-length} {}/big", f"200,{BIG}"),
    "http/1.0": ("--http1.0 -w ,%{http_code} {}/old", "GET /old ,200"),
    "http/2 offered": ("--http2 -w ,%{http_version} {}/h2", "GET /h2 ,1.1"),
    "put of a large file": ("-T BIG {}/size", str(BIG)),
    "post that asks first": ("-H Expect:100-continue -d ok {}/asked", "POST /asked ok"),
    "post that never asks": ("-H Expect: --data-binary @BIG {}/size", str(BIG)),
    "chunked upload": ("-H Transfer-Encoding:chunked --data-binary @BIG {}/size", str(BIG)),
    "upload at a slow pace": ("--limit-rate 30M -T BIG {}/size", str(BIG)),
    "multipart form": ("-F file=@BIG -w ,%{http_code} -o /dev/null {}/form", ",200"),
    "large download": ("-o /dev/null -w %{size_download} {}/big", str(BIG)),
    "compressed": ("--compressed {}/gzip", "unpacked"),
    "redirect": ("-L -w ,%{num_redirects} {}/redirect", "GET /target?after ,1"),
    "trailer": ("--raw {}/trailer", "2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"),
    "one connection for three": ("-w ,%{num_connects}; {}/1 {}/2 {}/3", "GET /1 ,1;GET /2 ,0;GET /3 ,0;"),
    "connection of one request": (
        "-H Connection:close -w ,%{num_connects}; {}/1 {}/2", "GET /1 ,1;GET /2 ,1;"),
    "fifty at once": ("-Z --parallel-max 50 -o /dev/null -w . {}/[1-50]", "." * 50),
    "user": ("-u ada:secret {}/header/Authorization", "Basic YWRhOnNlY3JldA=="),
    "cookie": ("-b a=1;b=2 {}/header/Cookie", "a=1;b=2"),
    "range": ("-r 2-5 {}/header/Range", "bytes=2-5"),
    "agent": ("-A me/1 {}/header/User-Agent", "me/1"),
    "virtual host": ("-H Host:shop.example:81 {}/header/Host", "shop.example:81"),
    "host by absolute target": ("-x {} http://shop.example/header/Host", "shop.example"),
    "for whom": ("{}/header/X-Forwarded-For", "127.0.0.1"),
    "for whom, forged": ("-H X-Forwarded-For:9.9.9.9 {}/header/X-Forwarded-For", "127.0.0.1"),
    "not for servers": ("-H Connection:X-Own -H X-Own:1 {}/header/X-Own", "none"),
    "not found": ("-w ,%{http_code} {}/status/404", "page,404"),
    "failed": ("-w ,%{http_code} {}/status/503", "page,503"),
    "status that nobody knows": ("-w ,%{http_code} {}/status/299", "page,299"),
}  # fmt: skip


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("curl") / "big"
    path.write_bytes(DATA)
    return path


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run curl, without anyone's settings."""
    return subprocess.run(["curl", "-q", "-s", *arguments], capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize(("arguments", "output"), CASES.values(), ids=CASES)
def test_curl_prints(plane: Fleet, serve: Serve, big: Path, arguments: str, output: str) -> None:
    serve(site)
    words = [word.replace("{}", plane.url).replace("BIG", str(big)) for word in arguments.split(" ")]
    run = curl(*words)
    assert (run.stdout.decode("latin-1"), run.returncode) == (output, 0)


def test_a_tunnel_to_somewhere_else_is_refused(plane: Fleet, serve: Serve) -> None:
    [server] = serve(site)
    assert curl("-p", "-x", plane.url, "-w", "%{http_connect}", "http://shop.example/").stdout == b"501"
    assert "CONNECT" not in {request.method for request in server.requests}


def test_a_large_download_is_whole(plane: Fleet, serve: Serve) -> None:
    serve(site)
    assert curl(f"{plane.url}/big").stdout == DATA


def test_a_curl_that_gives_up_is_forgotten(plane: Fleet, serve: Serve) -> None:
    with hanging() as hang:
        serve(hang)
        assert curl("-m", "0.3", f"{plane.url}/slow").returncode == 28  # curl's own time-out
        plane.wait_idle()


def test_no_server_is_said_with_when_to_come_again(plane: Fleet) -> None:
    told = curl("-w", ",%{http_code},%header{retry-after}", f"{plane.url}/").stdout.decode()
    assert told == "503 Service Unavailable: no server is available now\n,503,30"
