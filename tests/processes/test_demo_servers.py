from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from lb.model import ServerId, ServerSpec
from lb.processes.control import BEAT, READY
from lb.processes.demo_servers import _listen, application


def ask(body: bytes = b"", *, ends: bool = True) -> tuple[str, dict[str, str], str]:
    said: list[tuple[str, list[tuple[str, str]]]] = []
    answer = application("localhost:5001")
    environ = {"wsgi.input": BytesIO(body), "wsgi.input_terminated": ends}
    [text] = answer(environ, lambda status, headers: said.append((status, headers)))
    [(status, headers)] = said
    return status, dict(headers), text.decode()


def test_it_answers_with_its_own_name() -> None:
    status, headers, text = ask()
    assert status == "200 OK"
    assert text == "server localhost:5001\n"
    assert headers["Content-Length"] == str(len(text))


def test_it_tells_what_became_of_a_body() -> None:
    body = b"x" * 100_000
    digest = hashlib.sha256(body).hexdigest()
    assert ask(body)[2] == f"server localhost:5001\nreceived 100000 bytes, sha256 {digest}\n"


def test_it_does_not_wait_for_the_end_of_an_upgrade_request() -> None:
    assert ask(b"not a body", ends=False)[2] == "server localhost:5001\n"


def test_a_body_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    for listener in _listen(ServerSpec(ServerId("127.0.0.1:0"), "http://127.0.0.1:0")):
        with listener:
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_it_gives_signs_of_life_until_its_supervisor_is_gone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "lb", "servers", "--control-fd", str(theirs.fileno())],
            cwd=tmp_path,
            env={**os.environ, "LB_SERVERS": url},
            pass_fds=(theirs.fileno(),),
        )
    try:
        with ours:
            ours.settimeout(20)
            signs = b""
            while READY + 2 * BEAT not in signs:
                received = ours.recv(16)
                assert received, "it ended"
                signs += received
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
