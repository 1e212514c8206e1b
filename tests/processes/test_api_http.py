"""The admin API's server, in the test's own hub: clients that are slow, large, or never satisfied."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import repeat
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.pool import Pool
from werkzeug.wrappers import Request, Response

from lb.processes import api_http
from lb.processes.api_gate import Gate
from lb.processes.api_http import Server

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    with gevent.Timeout(20):
        yield


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """`/read` reads the body; `/large` answers much, `/stream` for ever; `/fails` fails; else `ok`."""
    request = Request(environ)
    match request.path:
        case "/read":
            try:
                response = Response(f"{len(request.get_data())} bytes")
            except Exception as error:
                response = error.get_response(environ)  # type: ignore[attr-defined]
        case "/large":
            response = Response(bytes(50_000_000))
        case "/stream":
            response = Response((b"x" * 1_000_000 for _ in range(1000)), mimetype="text/event-stream")
        case "/slow":
            gevent.sleep(0.05)
            response = Response("ok")
        case "/fails":
            raise ValueError("so it is")
        case _:
            response = Response("ok")
    return response(environ, start_response)


class Api:
    def __init__(self, gate: Gate) -> None:
        listener = gevent.socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(200)
        self.address = listener.getsockname()
        self.server = Server(listener, application, gate, spawn=Pool())
        self.server.start()

    def connect(self, receive_bytes: int = 0) -> Any:
        sock = gevent.socket.socket()
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.connect(self.address)
        return sock

    def ask(self, request: bytes = GET) -> bytes:
        """Send, and return all that comes until the answer `ok`, or the end."""
        with self.connect() as sock:
            sock.sendall(request)
            return answer_of(sock)


def answer_of(sock: Any) -> bytes:
    data = b""
    while not data.endswith(b"ok") and (more := sock.recv(65536)):
        data += more
    return data


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api(Gate())
    yield made
    made.server.stop(timeout=0.1)


def dripping(sock: Any, data: bytes) -> None:
    """Send a byte now and then until the other side has enough."""
    with suppress(OSError):
        for byte in data:
            sock.sendall(bytes([byte]))
            gevent.sleep(0.02)


def test_a_connection_serves_again_and_again(api: Api) -> None:
    with api.connect() as sock:
        for _ in range(3):
            sock.sendall(GET)
            assert b"Connection: close" not in answer_of(sock)
        sock.sendall(POST.replace(b"/ ", b"/read ") + b"Content-Length: 5\r\n\r\nhello" + GET)
        assert b"5 bytes" in answer_of(sock), "and what is read to its end ends no connection"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Content-Length: 8000000\r\n\r\n" + bytes(8_000_000), id="known"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n\r\n" + b"186a0\r\n%b\r\n" % bytes(100_000) * 80, id="chunks"
        ),
    ],
)
def test_a_body_that_nobody_reads_is_not_waited_for(api: Api, body: bytes) -> None:
    """And the answer arrives, though the client sends all of it first."""
    with api.connect() as sock:
        sock.sendall(POST + body)
        answer = answer_of(sock)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer


def test_a_body_without_an_end_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_http, "LINGER_SECONDS", 0.2)
    with api.connect() as sock:
        sock.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n%b\r\n" % bytes(0x10000)
        with pytest.raises(ConnectionError):
            any(map(sock.sendall, repeat(chunk)))


@pytest.mark.parametrize(
    ("constant", "begin", "status"),
    [
        ("HEAD_SECONDS", b"", b"408"),
        ("HEAD_SECONDS", b"GET / HTTP/1.1\r\n", b"408"),
        ("BODY_SECONDS", b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", b"408"),
        (
            "BODY_SECONDS",
            b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
            b"408",
        ),
    ],
)
def test_each_step_has_a_time_however_often_a_byte_comes(
    api: Api, monkeypatch: pytest.MonkeyPatch, constant: str, begin: bytes, status: bytes
) -> None:
    monkeypatch.setattr(api_http, constant, 0.2)
    with api.connect() as sock:
        sock.sendall(begin)
        drip = gevent.spawn(dripping, sock, b"GET /" + b"x" * 4000)
        assert answer_of(sock).split(b" ")[1] == status
        drip.kill()


def test_who_says_nothing_is_let_go(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_http, "IDLE_SECONDS", 0.1)
    with api.connect() as sock:
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A: %b\r\n" % (b"b" * 70_000) + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + (b"A: %b\r\n" % (b"b" * 7_000)) * 20 + b"\r\n", b"431"),
        (b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * 10_000), b"414"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_heads_have_a_size_and_nothing_is_printed(
    api: Api, head: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert api.ask(head).split(b" ")[1] == status
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("path", "constant"), [(b"/large", "RESPONSE_SECONDS"), (b"/stream", "MESSAGE_SECONDS")]
)
def test_who_takes_no_answer_is_let_go(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: bytes, constant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(api_http, constant, 0.2)
    with api.connect(receive_bytes=4096) as sock:
        sock.sendall(GET.replace(b"/ ", path + b" "))
        with gevent.Timeout(10):
            while len(api.server.pool):  # type: ignore[arg-type]
                gevent.sleep(0.01)
    assert capfd.readouterr().err == ""


def test_a_fault_of_the_application_is_logged_with_a_count(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert api.ask(GET.replace(b"/ ", b"/fails ")).startswith(b"HTTP/1.1 500 ")
    assert caplog.messages == ["admin API: a request failed outside of the application"]


def flood_of_chunks(sock: Any) -> None:
    sock.sendall(b"POST /read HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        sock.sendall(b"1;%b\r\nx\r\n" % (b"e" * 100) * 100)


def flood_of_a_refused_body(sock: Any) -> None:
    sock.sendall(POST + b"Content-Length: 1000000000000\r\n\r\n")
    while True:
        sock.sendall(bytes(65536))


def flood_of_requests(sock: Any) -> None:
    reader = gevent.spawn(lambda: all(iter(lambda: sock.recv(65536), b"")))
    try:
        while True:
            sock.sendall(GET * 200)
    finally:
        reader.kill()


@pytest.mark.parametrize("flood", [flood_of_chunks, flood_of_a_refused_body, flood_of_requests])
def test_others_are_served_beside_a_flood(api: Api, flood: Callable[[Any], None]) -> None:
    with api.connect() as sock:
        flooding = gevent.spawn(_until_it_ends, flood, sock)
        for _ in range(20):
            assert api.ask().endswith(b"ok")
        flooding.kill()


def _until_it_ends(flood: Callable[[Any], None], sock: Any) -> None:
    with suppress(OSError):
        flood(sock)


def test_connections_that_drip_do_not_keep_others_out(capfd: pytest.CaptureFixture[str]) -> None:
    api = Api(Gate(loopback=8, others=8, per_address=4))
    slow = [api.connect() for _ in range(50)]
    for sock in slow:
        sock.sendall(b"G")
    assert api.ask().endswith(b"ok")
    for sock in slow:
        sock.close()
    api.server.stop(timeout=0.1)
    assert "Traceback" not in capfd.readouterr().err


def test_one_that_finds_no_room_is_told() -> None:
    api = Api(Gate(loopback=0, others=0, per_address=0))
    assert api.ask().startswith(b"HTTP/1.1 503 ")
    api.server.stop(timeout=0.1)


def count_of(sock: Any, most: int) -> int:
    """Return how many answers come, up to so many, before the connection ends."""
    data = b""
    with suppress(OSError):
        while data.count(b"\r\n\r\nok") < most and (more := sock.recv(65536)):
            data += more
    return data.count(b"\r\n\r\nok")


def test_clients_that_pipeline_leave_room_for_others() -> None:
    """However much they ask at once, they do not pass for connections that are all at work."""
    made = Api(Gate(loopback=8))
    socks = [made.connect() for _ in range(8)]
    try:
        for sock in socks:
            sock.sendall(GET.replace(b"/ ", b"/slow ") * 10)
        for sock in socks:
            assert sock.recv(1, socket.MSG_PEEK)
        assert made.ask().endswith(b"ok")
        complete = [count_of(sock, 10) for sock in socks].count(10)
        assert complete == 7, "the answers of those that stayed are all there"
    finally:
        for sock in socks:
            sock.close()
        made.server.stop(timeout=0.1)
