"""Connections through urllib3 to scripted servers: heads are read strictly, dead ones are not kept."""

from __future__ import annotations

import math
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from lb.errors import ClientError, ExhaustedError, ServerConnectError, ServerError
from lb.model import ServerId
from lb.proxy.http1 import HeadParser
from lb.wsgi import connections as module
from lb.wsgi.connections import Connections, ConnectionSettings, ServerConnection
from tests.integration.raw import Connection, RawServer
from tests.integration.servers import servers
from tests.support import eventually

SETTINGS = ConnectionSettings(
    connect_seconds=2.0, response_head_seconds=2.0, idle_seconds=60.0, max_idle=2, head_bytes=300
)


def connections(server: str, settings: ConnectionSettings = SETTINGS) -> Connections:
    return Connections(ServerId(server), HeadParser(100), settings)


def ask(connection: ServerConnection, method: str = "GET") -> bytes:
    connection.request(method, "/", preload_content=False, decode_content=False)
    response = connection.getresponse()
    return b"".join(iter(lambda: response.read1(65536, decode_content=False), b""))


@contextmanager
def answering(*answers: bytes) -> Iterator[Connections]:
    """A server that gives one answer to each request of a connection, then ends it."""

    def play(connection: Connection) -> None:
        for answer in answers:
            if connection.read_head():
                connection.send(answer)

    with RawServer(play) as server:
        yield connections(f"127.0.0.1:{server.port}")


def test_a_connection_serves_again_and_again() -> None:
    with servers(1) as [server]:
        pool = connections(server.id)
        connection = pool.connect()
        for _ in range(3):
            assert ask(connection).decode() == server.id
            pool.keep(connection)
            assert pool.take() is connection
        connection.close()


def test_one_that_the_server_ended_is_not_taken() -> None:
    with servers(1) as [server]:
        pool = connections(server.id)
        connection = pool.connect()
        ask(connection)
        server.stop()
        eventually(lambda: not connection.quiet())
        pool.keep(connection)
        assert pool.take() is None


def test_one_on_which_the_server_spoke_out_of_turn_is_not_taken() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"") as pool:
        connection = pool.connect()
        connection.request("HEAD", "/", preload_content=False)
        connection.getresponse().close()
        assert connection.quiet()
        connection.close()
    with servers(1) as [server]:
        server.behaviour = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" + b"x" * 20000
        pool = connections(server.id)
        connection = pool.connect()
        assert ask(connection) == b"a"
        eventually(lambda: not connection.quiet())
        connection.close()


def test_no_more_are_kept_than_allowed_and_none_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers(1) as [server]:
        pool = connections(server.id)
        three = [pool.connect() for _ in range(3)]
        for connection in three:
            pool.keep(connection)
        assert three[0].sock is None
        now = module.time.monotonic()
        monkeypatch.setattr(module.time, "monotonic", lambda: now + 61)
        last = pool.connect()
        taken = pool.take()
        assert taken is three[2]
        taken.close()
        pool.keep(last)
        assert three[1].sock is None
        pool.close()
        assert last.sock is None


def test_addresses_that_are_left_out_are_tried_last(monkeypatch: pytest.MonkeyPatch) -> None:
    with servers(2) as (one, another):
        ports = [int(server.id.rpartition(":")[2]) for server in (one, another)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        resolve = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **k: found if "many" in host else resolve(host, *a, **k)
        )
        for left_out, first in (
            ((), one),
            ({one.id}, another),
            ({another.id}, one),
            ({one.id, another.id}, one),
        ):
            to = Connections(ServerId("many.example:80"), HeadParser(100), SETTINGS, left_out=left_out)
            with closing(to.connect()) as connection:
                assert ask(connection).decode() == first.id
        another.stop()
        to = Connections(ServerId("many.example:80"), HeadParser(100), SETTINGS, left_out={one.id})
        with closing(to.connect()) as connection:
            assert ask(connection).decode() == one.id
        one.stop()
        with pytest.raises(ServerConnectError, match="refused"):
            to.connect()


def test_refused_and_unknown_are_told_with_the_reason() -> None:
    with pytest.raises(ServerConnectError, match="Connection refused") as caught:
        connections("127.0.0.1:1").connect()
    assert caught.value.status == 502
    with pytest.raises(ServerConnectError, match="no-such-host"):
        connections("no-such-host.invalid:1").connect()


def test_a_connection_that_takes_too_long_is_504(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_arguments: Any, **_settings: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr("urllib3.util.connection.create_connection", late)
    with pytest.raises(ServerConnectError, match="no connection in 2 s") as caught:
        connections("127.0.0.1:1").connect()
    assert caught.value.status == 504


def test_what_we_lack_is_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_arguments: Any, **_settings: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("urllib3.util.connection.create_connection", exhausted)
    with pytest.raises(ExhaustedError):
        connections("127.0.0.1:1").connect()


def test_idle_connections_give_their_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """To whichever server they are."""
    create, exhausted = socket.create_connection, True

    def made(address: tuple[str, int], *_arguments: Any, **_settings: Any) -> socket.socket:
        if exhausted:
            raise OSError(24, "Too many open files")
        return create(address)

    with servers(1) as [server]:
        idle = connections(server.id)
        idle.keep(idle.connect())
        monkeypatch.setattr("urllib3.util.connection.create_connection", made)

        def spare() -> bool:
            nonlocal exhausted
            exhausted = not idle.close_oldest()
            return not exhausted

        assert idle.idle_since < math.inf
        Connections(ServerId(server.id), HeadParser(100), SETTINGS, spare).connect().close()
        assert idle.take() is None
        assert not idle.close_oldest()
        assert idle.idle_since == math.inf


def test_a_server_can_be_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory(prefix="lb-") as directory:
        path = str(Path(directory) / "s")
        with pytest.raises(ServerConnectError):
            connections(f"unix:{path}").connect()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            pool = connections(f"unix:{path}")
            connection = pool.connect()
            assert pool.host == "localhost"
            threading.Thread(target=serve_once, args=(listener,)).start()
            assert ask(connection) == b"ok"
            connection.close()


def serve_once(listener: socket.socket) -> None:
    accepted, _ = listener.accept()
    with accepted:
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

#: An answer, and what is wrong with it.
UNSOUND = {
    "garbage": (b"SSH-2.0\r\n\r\n", "not HTTP/1"),
    "folded": (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "malformed"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "ambiguous"),
    "two framings": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "ambiguous",
    ),
    "unasked upgrade": (b"HTTP/1.1 101 Yes\r\n\r\n", "without being asked"),
    "large": (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300 + b"\r\n\r\n", "larger than 300"),
    "endless": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100, "larger than 300"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "CR LF"),
    "half": (b"HTTP/1.1 200 OK\r\nA: b\r\n", "in the middle"),
    "interim for ever": (b"HTTP/1.1 103 Hints\r\n\r\n" * 20000, "interim"),
}


@pytest.mark.parametrize(("answer", "message"), UNSOUND.values(), ids=UNSOUND)
def test_heads_that_are_not_sound_are_none(answer: bytes, message: str) -> None:
    with answering(answer) as pool:
        connection = pool.connect()
        with pytest.raises(ServerError, match=message):
            ask(connection)
        connection.close()


@pytest.mark.parametrize(("method", "first"), [
    ("HEAD", b"200 OK"), ("GET", b"204 No"), ("GET", b"304 No"), ("GET", b"103 Hints"),
])  # fmt: skip
@pytest.mark.parametrize("framing", [
    b"Content-Length: 0\r\nTransfer-Encoding: chunked", b"Content-Length: x", b"Transfer-Encoding: a, chunked"
])  # fmt: skip
def test_a_message_without_a_body_ends_at_the_empty_line(method: str, first: bytes, framing: bytes) -> None:
    """RFC 9112 §6.3, 1: whatever its fields say; the connection is not kept."""
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if first.startswith(b"1") else b""
    with answering(b"HTTP/1.1 %b\r\n%b\r\n\r\n%b" % (first, framing, final), b"") as pool:
        connection = pool.connect()
        assert ask(connection, method) == b""
        assert connection.head is not None
        assert not connection.head.keep_alive
        assert connection.sock is None
        connection.close()


def test_a_server_that_says_nothing_was_not_heard() -> None:
    with answering() as pool:
        connection = pool.connect()
        with pytest.raises(ConnectionError):
            ask(connection)
        assert not connection.heard
        connection.close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_head_may_come_in_parts(cut: int) -> None:
    go_on = threading.Event()

    def play(connection: Connection) -> None:
        connection.read_head()
        connection.send(interim_and_ok[:cut])
        go_on.wait(1)
        connection.send(interim_and_ok[cut:])

    interim_and_ok = b"HTTP/1.1 100 Continue\r\n\r\n" + OK
    with RawServer(play) as server:
        connection = connections(f"127.0.0.1:{server.port}").connect()
        threading.Timer(0.02, go_on.set).start()
        assert ask(connection) == b"ok"
        connection.close()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: x\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No\r\n\r\n", b""),
    ],
)
def test_bodies_end_where_they_end(answer: bytes, body: bytes) -> None:
    with answering(answer) as pool:
        connection = pool.connect()
        assert ask(connection) == body
        connection.close()


@pytest.mark.parametrize(
    "framed",
    [
        b"2\r\nok\r\n0",
        b"2\r\nok\r\n",
        b"+2\r\nok\r\n0\r\n\r\n",
        b"0x2\r\nok\r\n0\r\n\r\n",
        b"2\r\nok==0\r\n\r\n",
        b"2\nok\r\n0\r\n\r\n",
        b"10000000000000002\r\nok\r\n0\r\n\r\n",
        b"2\r\nok\r\n0\r\nT : x\r\n\r\n",
    ],
)
def test_chunks_are_read_strictly_and_their_end_is_not_guessed(framed: bytes) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed) as pool:
        connection = pool.connect()
        with pytest.raises((HTTPError, ClientError, ServerError)):
            ask(connection)
        connection.close()


def test_chunk_sizes_count_by_their_value_and_tiny_chunks_are_joined() -> None:
    padded = b"0" * 40 + b"2;" + b"x" * 300 + b"\r\nok\r\n"
    with answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + padded * 100
        + b"1\r\nx\r\n" * 2000
        + b"000\r\n\r\n"
    ) as pool:
        connection = pool.connect()
        connection.request("GET", "/", preload_content=False, decode_content=False)
        response = connection.getresponse()
        pieces = list(iter(lambda: response.read1(65536, decode_content=False), b""))
        assert b"".join(pieces) == b"ok" * 100 + b"x" * 2000
        assert len(pieces) < 100
        connection.close()
