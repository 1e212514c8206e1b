"""One request to one address: what is told of its end."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest

from lb.health.checks.request import Answer, Request, ask
from lb.health.names import Place
from tests.health.scripted_server import Script, answer, full_queue, refusing_port, scripted

HEAD = Request("a.example", 8080, "HEAD", "/p", 2.0)
GET = replace(HEAD, method="GET")


def ask_port(port: int, request: Request = HEAD, seconds: float = 2.0) -> Answer:
    place: Place = (socket.AF_INET, ("127.0.0.1", port))
    return ask(place, request, time.monotonic() + seconds)


def asked(script: Script, request: Request = HEAD) -> tuple[int | None, str]:
    with scripted(script) as running:
        found = ask_port(int(running.id.rpartition(":")[2]), request)
    return found.status, found.problem


def test_the_address_is_asked_by_the_servers_name() -> None:
    with scripted(answer("HTTP/1.1 200 OK\n\n")) as running:
        assert ask_port(int(running.id.rpartition(":")[2])).status == 200
    assert running.requests[0].startswith(b"HEAD /p HTTP/1.1\r\nHost: a.example:8080\r\n")


@pytest.mark.parametrize("with_body", [False, True])
def test_a_body_is_awaited_only_where_it_has_to_come(with_body: bool) -> None:
    cut = answer("HTTP/1.1 200 OK\nContent-Length: 9\n\nok")
    problem = "the body was cut off" if with_body else ""
    assert asked(cut, replace(GET, with_body=with_body)) == (200, problem)


def test_refused_and_late_are_told_apart() -> None:
    with refusing_port() as port:
        found = ask_port(port)
    assert (found.status, found.refused, found.late) == (None, True, False)
    with full_queue() as port:
        found = ask_port(port, seconds=0.2)
    assert (found.status, found.refused, found.late) == (None, False, True)


@pytest.mark.parametrize(
    ("head", "again"),
    [
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="100"),
        pytest.param(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", id="103"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n", id="trailers"
        ),
    ],
)
def test_a_server_that_sends_without_a_pause_takes_no_longer_than_the_deadline(
    head: bytes, again: bytes
) -> None:
    def flood(client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(again * 2000)

    with scripted(flood) as running:
        found = ask_port(int(running.id.rpartition(":")[2]), replace(GET, with_body=True), seconds=0.3)
    assert (found.late, found.problem) == (True, "timed out after 2 s")
