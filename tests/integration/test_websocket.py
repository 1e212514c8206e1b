"""WebSockets through the balancer, with the `websockets` library at both ends."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from lb.model import ServerId, ServerSpec, Source
from tests.integration.balancer import Balancer
from tests.integration.conftest import HARSH
from tests.integration.fleet import Fleet, server_id
from tests.integration.load import Client
from tests.integration.raw import Connection, RawServer
from tests.support import eventually

Handler = Callable[[ServerConnection], None]
Judge = Callable[[ServerConnection, Request], Response | None]

MEBIBYTE = bytes(range(256)) * 4096
TUNNEL_SECONDS = 1.0


def echo(server: ServerConnection) -> None:
    for message in server:
        server.send(message)


class Sockets:
    """A WebSocket server in the pool of a balancer, and its clients."""

    def __init__(self, fleet: Fleet, stack: ExitStack) -> None:
        self.fleet = fleet
        self._stack = stack
        self.place = ServerId("")

    def serve(self, handler: Handler = echo, judge: Judge | None = None) -> None:
        """Start a server; `judge` may answer a handshake with an ordinary response."""
        server = serve(handler, "127.0.0.1", 0, process_request=judge, max_size=None)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)
        self.place = ServerId(f"localhost:{server.socket.getsockname()[1]}")
        self.fleet.pool.add(ServerSpec(self.place, f"http://{self.place}"), Source.ADMIN, "test")

    def client(self) -> ClientConnection:
        url = self.fleet.url.replace("http:", "ws:")
        return self._stack.enter_context(
            connect(f"{url}/chat", max_size=None, ping_interval=None, proxy=None)
        )

    def wait_open(self, count: int) -> None:
        """Wait until so many are counted as connections to the server."""
        self.fleet.wait_counts({self.place: count} if count else {})


@contextmanager
def using(fleet: Fleet) -> Iterator[Sockets]:
    with ExitStack() as stack:
        yield Sockets(fleet, stack)
    fleet.wait_idle()
    fleet.reset()


@pytest.fixture
def sockets(plane: Fleet) -> Iterator[Sockets]:
    with using(plane) as made:
        yield made


@pytest.fixture(scope="module")
def brief_balancer() -> Iterator[Balancer]:
    """Tunnels may be silent for a second; a worker that stops cuts them before that limit would."""
    timeouts = {**HARSH["timeouts"], "tunnel": f"{TUNNEL_SECONDS:g}s"}
    with Balancer({**HARSH, "timeouts": timeouts, "gracefulTimeout": "200ms"}, workers=1) as balancer:
        yield balancer


@pytest.fixture
def brief(brief_balancer: Balancer) -> Iterator[Sockets]:
    with using(Fleet(brief_balancer)) as made:
        yield made


@pytest.mark.parametrize("message", ["", "text, größer", b"", b"\0\xff\r\n\r\n", MEBIBYTE, MEBIBYTE.hex()],
                         ids=["nothing", "text", "no-bytes", "bytes", "1-MiB", "2-MiB-text"])  # fmt: skip
def test_messages_come_back_as_they_were_sent(sockets: Sockets, message: str | bytes) -> None:
    sockets.serve()
    client = sockets.client()
    for _ in range(3):
        client.send(message)
        assert client.recv(timeout=10) == message


def test_fragments_and_control_frames_pass_in_order(sockets: Sockets) -> None:
    pieces: list[list[str]] = []

    def collect(server: ServerConnection) -> None:
        pieces.append(list(server.recv_streaming()))
        server.send(iter(["an", "sw", "er"]))

    sockets.serve(collect)
    client = sockets.client()
    client.send(["frag", "", "ment", "ed"])
    assert list(client.recv_streaming()) == ["an", "sw", "er", ""]
    assert "".join(pieces[0]) == "fragmented"
    assert len(pieces[0]) > 3


def test_each_side_can_ping(sockets: Sockets) -> None:
    answered = threading.Event()

    def ping(server: ServerConnection) -> None:
        if server.ping(b"down").wait(10):
            answered.set()
        echo(server)

    sockets.serve(ping)
    client = sockets.client()
    assert client.ping(b"up").wait(10)
    assert answered.wait(10)


def test_client_may_close(sockets: Sockets) -> None:
    closed: list[tuple[int | None, str | None]] = []

    def note(server: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed):
            server.recv()
        closed.append((server.close_code, server.close_reason))

    sockets.serve(note)
    client = sockets.client()
    sockets.wait_open(1)
    client.close(4001, "enough")
    assert client.close_code == 4001  # the server has answered the handshake
    sockets.wait_open(0)
    assert eventually(lambda: closed) == [(4001, "enough")]


def test_server_may_close(sockets: Sockets) -> None:
    sockets.serve(lambda server: server.close(4002, "full"))
    client = sockets.client()
    with pytest.raises(ConnectionClosedError):
        client.recv(timeout=10)
    assert (client.close_code, client.close_reason) == (4002, "full")
    sockets.wait_open(0)


def test_fifty_at_once_do_not_mix_and_are_all_counted(sockets: Sockets) -> None:
    sockets.serve()
    clients = [sockets.client() for _ in range(50)]
    sockets.wait_open(50)
    messages = [hashlib.sha256(b"%d" % number).digest() * 1000 for number in range(50)]
    for client, message in zip(clients, messages, strict=True):
        client.send(message)
    assert [client.recv(timeout=10) for client in clients] == messages
    for client in clients:
        client.close()
    sockets.wait_open(0)


def test_a_refused_upgrade_is_an_ordinary_response(sockets: Sockets) -> None:
    def refuse(server: ServerConnection, _request: Request) -> Response:
        return server.respond(HTTPStatus.FORBIDDEN, "not you\n")

    sockets.serve(judge=refuse)
    with pytest.raises(InvalidStatus) as refused:
        sockets.client()
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"not you\n"
    sockets.wait_open(0)


def test_after_a_refused_upgrade_the_connection_goes_on(sockets: Sockets) -> None:
    """The server closes its connection when it has refused; the client keeps its own."""

    def refuse_first(server: ServerConnection, request: Request) -> Response | None:
        return server.respond(HTTPStatus.NOT_FOUND, "") if request.path == "/no" else None

    sockets.serve(judge=refuse_first)
    key = ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")
    with Client(sockets.fleet.url) as client:
        for _ in range(3):
            refused = client.ask("GET", "/no", "Connection: Upgrade", "Upgrade: websocket", *key)
            assert refused.status == 404
        switched = client.ask("GET", "/chat", "Connection: Upgrade", "Upgrade: websocket", *key)
        assert switched.status == 101
        assert switched.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert switched.header("Connection") == "upgrade"


def test_server_gone_without_a_word_is_told_to_the_client(sockets: Sockets) -> None:
    def vanish(server: ServerConnection) -> None:
        server.recv()
        linger = struct.pack("ii", 1, 0)
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # its close is a reset
        server.socket.close()

    sockets.serve(vanish)
    client = sockets.client()
    client.send("now")
    with pytest.raises(ConnectionClosedError):
        client.recv(timeout=10)
    sockets.wait_open(0)


def test_client_gone_without_a_word_is_told_to_the_server(sockets: Sockets) -> None:
    ended = threading.Event()

    def wait(server: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed):
            server.recv()
        ended.set()

    sockets.serve(wait)
    client = sockets.client()
    sockets.wait_open(1)
    client.socket.shutdown(socket.SHUT_RDWR)
    assert ended.wait(10)
    sockets.wait_open(0)


def test_one_direction_may_end_before_the_other(sockets: Sockets) -> None:
    """What a server still says after the client's end of stream arrives (half-close)."""

    def speak_after_the_end(connection: Connection) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n")
        assert connection.read(1 << 20) == b"last words"
        for _ in range(64):
            connection.send(MEBIBYTE[:16384])

    with RawServer(speak_after_the_end) as server, Client(sockets.fleet.url) as client:
        sockets.fleet.add(server)
        sockets.place = server_id(server)
        assert client.ask("GET", "/", "Connection: upgrade", "Upgrade: other").status == 101
        client.send(b"last words")
        client.socket.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.socket.recv(65536), b""))
        assert received == MEBIBYTE[:16384] * 64
        sockets.wait_open(0)


# --- time and the end of a worker


def test_a_silent_tunnel_is_ended(brief: Sockets) -> None:
    brief.serve()
    client = brief.client()
    brief.wait_open(1)
    with pytest.raises(ConnectionClosedError):
        client.recv(timeout=10)
    brief.wait_open(0)


def test_a_tunnel_in_use_is_not_ended(brief: Sockets) -> None:
    """One direction in use keeps the other."""

    def tick(server: ServerConnection) -> None:
        for number in range(12):
            with pytest.raises(TimeoutError):
                server.recv(timeout=TUNNEL_SECONDS / 4)
            server.send(str(number))

    brief.serve(tick)
    assert list(brief.client()) == [str(number) for number in range(12)]


def test_a_worker_that_stops_waits_for_open_tunnels_and_cuts_them_in_the_end(brief: Sockets) -> None:
    brief.serve()
    client = brief.client()
    [pid] = brief.fleet.balancer.worker_pids()
    os.kill(pid, signal.SIGTERM)
    brief.fleet.balancer.wait_log(r"cut 1 clients that were not done in 0.2 s")
    with pytest.raises(ConnectionClosedError):
        client.recv(timeout=10)
    brief.wait_open(0)
    brief.fleet.wait_workers(1)
    client = brief.client()  # the next worker serves
    client.send("again")
    assert client.recv(timeout=10) == "again"
