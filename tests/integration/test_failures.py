"""What a client sees when servers fail, and servers when a client leaves: one answer for each request."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from lb.model import ServerId, ServerSpec, Source
from tests.integration.conftest import Play, Serve
from tests.integration.fleet import Fleet, gets, hanging, ok, server_id
from tests.integration.load import Client, CutError
from tests.integration.raw import Connection
from tests.integration.servers import HttpServer, Request, ResetError, response
from tests.support import eventually

#: Of the plane's servers and clients; see conftest.
TIMEOUT = 2.0


@pytest.fixture
def client(plane: Fleet) -> Iterator[Client]:
    with Client(plane.url) as client:
        yield client


@pytest.fixture
def refusing(plane: Fleet) -> Iterator[list[ServerId]]:
    """Three members of the pool that refuse connections: their ports are taken, and nobody listens."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        ids = []
        for sock in (one, two, three):
            sock.bind(("127.0.0.1", 0))
            ids.append(ServerId(f"127.0.0.1:{sock.getsockname()[1]}"))
            plane.pool.add(ServerSpec(ids[-1], f"http://{ids[-1]}"), Source.ADMIN, "test")
        yield ids
        plane.wait_idle()
        plane.reset()


def of_method(server: HttpServer, method: str) -> list[Request]:
    return [one for one in list(server.requests) if one.method == method and one.target != "/check"]


def reset(request: Request) -> bytes:
    raise ResetError


def unavailable(_request: Request) -> bytes:
    return response(503, b"busy")


# --- no answer to be had


def test_no_eligible_server_is_503_with_a_time_to_come_back(client: Client) -> None:
    answer = client.ask()
    assert (answer.status, answer.header("Retry-After")) == (503, "30")
    assert client.ended()


def test_servers_that_all_refuse_are_502(refusing: list[ServerId], client: Client) -> None:
    answer = client.ask("POST", body=b"x")
    assert answer.status == 502
    assert client.ended()


def test_a_silent_server_is_504_after_the_time_out(serve: Serve, client: Client) -> None:
    with hanging() as hang:
        two = serve(hang, hang)
        sent = time.monotonic()
        answer = client.ask()
        assert answer.status == 504
        assert TIMEOUT <= time.monotonic() - sent < 20  # not the default's 60
        assert sum(gets(server) for server in two) == 1  # one server was asked, not both
        assert client.ended()


# --- retries


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_refuses_is_passed_over_for_every_method(
    serve: Serve, refusing: list[ServerId], client: Client, method: str
) -> None:
    """Nothing was sent to it."""
    [server] = serve(ok)
    for _ in range(8):
        assert client.ask(method, body=b"x").status == 200
    assert [request.body for request in of_method(server, method)] == [b"x"] * 8


@pytest.mark.parametrize("failure", [reset, unavailable, lambda _: None, lambda _: b"garbage\r\n\r\n"])
def test_an_idempotent_request_goes_to_another_server(
    serve: Serve, client: Client, failure: type[reset]
) -> None:
    bad, good = serve(failure, ok)
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        targets = [f"/{number}" for number in range(4)]  # whoever has the first turn, both have some
        for target in targets:
            answer = client.ask(method, target, body=b"again")
            assert (answer.status, answer.server) == (200, server_id(good))
        assert [request.target for request in of_method(good, method)] == targets
        asked = [request.target for request in of_method(bad, method)]
        assert asked
        assert len(set(asked)) == len(asked)  # never twice for the same request
        assert {request.body for request in of_method(bad, method)} == {b"again"}


@pytest.mark.parametrize("failure", [reset, lambda _: None, lambda _: b"garbage\r\n\r\n"])
def test_a_post_that_failed_after_it_was_sent_is_502_and_done_at_most_once(
    plane: Fleet, serve: Serve, failure: type[reset]
) -> None:
    bad, good = serve(failure, ok)
    statuses = [plane.ask("POST", body=b"x").status for _ in range(4)]
    assert sorted(statuses) == [200, 200, 502, 502]
    assert len(of_method(bad, "POST")) == len(of_method(good, "POST")) == 2


def test_a_503_to_a_post_is_its_answer(serve: Serve, client: Client) -> None:
    serve(unavailable, unavailable)
    answer = client.ask("POST", body=b"x")
    assert (answer.status, answer.body) == (503, b"busy")
    assert client.ask("POST", body=b"x").status == 503  # it was the server's answer: the connection stays


def test_each_server_is_tried_once_and_the_last_answer_is_the_clients(serve: Serve, client: Client) -> None:
    """`maxRetries` is 3: four attempts, though there are five servers."""
    five = serve(*[unavailable] * 5)
    answer = client.ask()
    assert (answer.status, answer.body) == (503, b"busy")
    asked = [server_id(server) for server in five if of_method(server, "GET")]
    assert len(asked) == 4
    assert all(len(of_method(server, "GET")) <= 1 for server in five)
    assert answer.server in asked


def test_a_body_too_large_to_keep_is_sent_once(plane: Fleet, serve: Serve) -> None:
    _, good = serve(reset, ok)
    statuses = [plane.ask("PUT", body=bytes(1 << 20)).status for _ in range(2)]
    assert sorted(statuses) == [200, 502]
    assert len(of_method(good, "PUT")) == 1


def test_a_kept_connection_that_the_server_closed_is_replaced_unseen(serve: Serve, client: Client) -> None:
    [server] = serve(ok)
    for _ in range(10):
        for method in ("GET", "POST"):
            assert client.ask(method, body=b"x").status == 200
        server.stop()  # cuts what is open
        server.start()
    assert len(of_method(server, "POST")) == 10


# --- failures within the response


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("end", [ResetError, ConnectionAbortedError])
def test_a_response_that_breaks_off_is_visibly_cut(
    serve: Serve, client: Client, framing: bytes, end: type[Exception]
) -> None:
    """Never a forged end, and never a second response behind half of the first."""

    def break_off(_request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n%b\r\n\r\n5\r\nhel" % framing
        raise end

    serve(break_off, break_off)
    client.send(client.head())
    with pytest.raises((CutError, ConnectionResetError)):
        client.receive()
    assert client.ended()


def test_a_server_that_falls_silent_within_its_response_is_cut(serve: Serve, client: Client) -> None:
    go_on = threading.Event()

    def stop_short(_request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
        go_on.wait(30)

    serve(stop_short)
    with pytest.raises((CutError, ConnectionResetError)):
        client.ask()
    go_on.set()


# --- clients that leave


def leave(client: Client, how: str) -> None:
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.fixture
def ended() -> threading.Event:
    """Set when the balancer has closed the server's connection."""
    return threading.Event()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_client_that_leaves_while_it_waits_frees_the_server_at_once(
    plane: Fleet, play: Play, client: Client, ended: threading.Event, method: str, how: str
) -> None:
    arrived = threading.Event()

    def never(connection: Connection) -> None:
        if connection.read_head().startswith(method.encode()):
            if method == "POST":
                connection.read(100_000)
            arrived.set()
            if connection.wait_end():
                ended.set()

    play(never)
    client.send(client.head(method, "/", f"Content-Length: {100_000 if method == 'POST' else 0}"))
    if method == "POST":
        client.send(bytes(100_000))
    assert arrived.wait(10)
    leave(client, how)
    assert ended.wait(10)
    plane.wait_idle(10)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_as_soon_as_it_has_asked_holds_nothing(
    plane: Fleet, play: Play, how: str
) -> None:
    """It is gone before a server was even picked."""

    def never(connection: Connection) -> None:
        if connection.read_head():
            connection.wait_end()

    play(never)
    for _ in range(20):
        client = Client(plane.url)
        client.send(client.head())
        leave(client, how)
    plane.wait_idle(1.5)


def test_a_client_that_leaves_within_its_upload_frees_the_server(
    plane: Fleet, play: Play, client: Client, ended: threading.Event
) -> None:
    arrived = threading.Event()

    def take(connection: Connection) -> None:
        if connection.read_head().startswith(b"POST"):
            connection.read(100_000)
            arrived.set()
            if not connection.read(1):
                ended.set()

    play(take)
    client.send(client.head("POST", "/", "Content-Length: 200000") + bytes(100_000))
    assert arrived.wait(10)
    client.close()
    assert ended.wait(10)
    plane.wait_idle(10)


def test_a_client_that_leaves_within_its_download_frees_the_server(
    plane: Fleet, serve: Serve, client: Client
) -> None:
    ended = threading.Event()

    def endless(_request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n"
        try:
            while True:
                yield bytes(65536)
        finally:
            ended.set()

    serve(endless)
    client.send(client.head())
    assert client.socket.recv(100_000)
    client.close()
    assert ended.wait(10)
    plane.wait_idle(10)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_a_client_that_leaves_is_no_failure_of_the_server(plane: Fleet, serve: Serve, begun: bytes) -> None:
    """Neither before the response has begun nor within it."""
    go_on = threading.Event()

    def stall(_request: Request) -> Iterator[bytes]:
        yield begun
        go_on.wait(30)

    [server] = serve(stall)
    for number in range(5):
        with Client(plane.url) as client:
            client.send(client.head())
            eventually(lambda count=number: len(of_method(server, "GET")) > count, what="a request")
            if begun:
                assert client.socket.recv(1)
    plane.wait_idle(10)
    [status] = plane.pool.list()
    assert status.failures == 0
    go_on.set()
