"""HTTP as clients speak it, well and badly: what reaches a server, and what comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Play, Serve
from tests.integration.fleet import Fleet, server_id
from tests.integration.load import Client
from tests.integration.raw import Connection
from tests.integration.servers import HttpServer, Request, response


@pytest.fixture
def client(plane: Fleet) -> Iterator[Client]:
    with Client(plane.url) as client:
        yield client


def echo(request: Request) -> bytes:
    """Answer with the target, a colon and the body."""
    return response(200, request.target.encode() + b":" + request.body)


def of_clients(server: HttpServer) -> list[Request]:
    """Return what reached the server, but for health checks."""
    return [request for request in list(server.requests) if request.target != "/check"]


# --- responses without a body


def test_head_has_the_length_and_no_body(serve: Serve, client: Client) -> None:
    def page(request: Request) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + (
            b"" if request.method == "HEAD" else b"page"
        )

    serve(page)
    for _ in range(3):
        assert client.ask("HEAD").header("Content-Length") == "4"
    assert client.ask("GET").body == b"page"


@pytest.mark.parametrize("status", [204, 304])
def test_204_and_304_have_no_body_and_keep_the_connection(serve: Serve, client: Client, status: int) -> None:
    def answer(_request: Request) -> bytes:
        length = b"Content-Length: 5\r\n" if status == 304 else b""  # that of the body which is not sent
        return b"HTTP/1.1 %d Status\r\n%bETag: x\r\n\r\n" % (status, length)

    serve(answer)
    for _ in range(3):
        found = client.ask()
        assert (found.status, found.header("ETag")) == (status, "x")
    assert found.header("Content-Length") == ("5" if status == 304 else None)


# --- connections


def test_an_old_client_gets_its_answer_and_the_end(serve: Serve, client: Client) -> None:
    serve(lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    answer = client.receive()
    assert answer.body == b"hi"
    assert answer.header("Transfer-Encoding") is None
    assert answer.header("Connection") == "close"


def test_an_old_client_can_ask_to_stay(serve: Serve, client: Client) -> None:
    serve(echo)
    for target in ("/1", "/2"):
        client.send(f"GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        answer = client.receive()
        assert answer.header("Connection") == "keep-alive"
        assert answer.body.decode() == f"{target}:"


def test_pipelined_requests_are_answered_in_order(serve: Serve, client: Client) -> None:
    """Their servers differ, and the first is the slowest."""
    others_are_done = threading.Event()

    def slow(request: Request) -> bytes:
        others_are_done.wait(0.02)
        return echo(request)

    serve(slow, echo, echo)
    requests = [
        client.head("POST", f"/{number}", f"Content-Length: {number}") + b"x" * number for number in range(30)
    ]
    client.send(b"".join(requests))
    for number in range(30):
        assert client.receive().body == b"/%d:%b" % (number, b"x" * number)


def test_close_is_answered_with_close(serve: Serve, client: Client) -> None:
    serve(echo)
    assert client.ask("GET", "/", "Connection: close").header("Connection") == "close"
    assert client.ended()


def test_a_connection_carries_many_requests_and_so_does_the_servers(serve: Serve, client: Client) -> None:
    [server] = serve(echo)
    for number in range(50):
        assert client.ask("GET", f"/{number}").body.decode() == f"/{number}:"
    assert server.connections < 5  # one, and those of health checks


# --- interim and early responses


def test_the_body_waits_for_the_servers_100_continue(play: Play, client: Client) -> None:
    def hesitant(connection: Connection) -> None:
        head = connection.read_head()
        if head.startswith(b"POST") and b"100-continue" in head:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.send(response(200, connection.read(5)))
        else:
            connection.send(response(200))

    play(hesitant)
    client.send(client.head("POST", "/", "Content-Length: 5", "Expect: 100-continue"))
    assert client.receive().status == 100
    client.send(b"hello")
    assert client.receive().body == b"hello"


def test_early_hints_are_passed_on(serve: Serve, client: Client) -> None:
    serve(lambda _: b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + response(200, b"page"))
    client.send(client.head())
    hints = client.receive()
    assert (hints.status, hints.header("Link")) == (103, "</style.css>")
    assert client.receive().body == b"page"


def test_an_early_refusal_of_a_big_upload_reaches_the_client(play: Play, client: Client) -> None:
    def refuse(connection: Connection) -> None:
        connection.read_head()
        connection.send(response(413, b"too much", ("Connection", "close")))
        connection.wait_end()

    play(refuse)
    client.send(client.head("POST", "/", "Content-Length: 50000000"))
    answer = client.receive()  # while the server awaits 50 MB, and the client has sent none
    assert (answer.status, answer.body) == (413, b"too much")
    assert client.ended()


# --- header fields


def test_hop_by_hop_fields_go_one_hop(serve: Serve, client: Client) -> None:
    [server] = serve(
        lambda _: response(
            200,
            b"",
            ("Connection", "X-Inner"),
            ("X-Inner", "1"),
            ("Keep-Alive", "timeout=5"),
            ("X-Outer", "2"),
        )
    )
    answer = client.ask(
        "GET",
        "/",
        "Connection: X-Secret, keep-alive",
        "X-Secret: 1",
        "Keep-Alive: 5",
        "TE: gzip, trailers",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "X-Kept: yes",
    )
    [request] = of_clients(server)
    sent_on = {name.lower() for name, _ in request.headers}
    assert sent_on & {"x-secret", "keep-alive", "proxy-connection", "upgrade"} == set()
    assert (request.header("TE"), request.header("Connection")) == ("trailers", "TE")  # as ours are passed on
    assert request.header("X-Kept") == "yes"
    assert answer.header("X-Outer") == "2"
    assert answer.all("X-Inner") == answer.all("Keep-Alive") == []


def test_the_server_learns_who_asked_and_cannot_be_lied_to(serve: Serve, client: Client) -> None:
    [server] = serve(echo)
    spoofed = ("X-Forwarded-For: 6.6.6.6", "x-forwarded-proto: https", "X-FORWARDED-HOST: evil")
    client.ask("GET", "/", *spoofed)
    [request] = of_clients(server)
    assert request.header("X-Forwarded-For") == "127.0.0.1"
    assert request.header("X-Forwarded-Proto") == "http"
    assert request.header("X-Forwarded-Host") == client.host
    assert request.header("Host") == client.host


def test_a_servers_own_claim_of_its_name_is_replaced(serve: Serve, client: Client) -> None:
    [server] = serve(lambda _: response(200, b"", ("X-Forwarded-Server", "http://elsewhere")))
    assert client.ask().all("X-Forwarded-Server") == [f"http://{server_id(server)}"]


# --- upgrades


def test_an_upgraded_connection_is_a_tunnel(play: Play, client: Client) -> None:
    def shout(connection: Connection) -> None:
        head = connection.read_head()
        if b"Upgrade: shout" not in head:
            connection.send(response(200))
            return
        connection.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n")
        while data := connection.read(5):
            connection.send(data.upper())

    play(shout)
    client.send(client.head("GET", "/", "Connection: upgrade", "Upgrade: shout"))
    answer = client.receive()
    assert (answer.status, answer.header("Upgrade")) == (101, "shout")
    for word in (b"hello", b"world"):
        client.send(word)
        assert client.socket.recv(5) == word.upper()


# --- malformed and oversized requests: answered, closed, and no server hears of them

H = "Host: a\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
MALFORMED = {
    "no version": "GET /\r\n\r\n",
    "no target": f"GET  HTTP/1.1\r\n{H}\r\n",
    "two blanks": f"GET  / HTTP/1.1\r\n{H}\r\n",
    "bare line feeds": "GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "two hosts": f"GET / HTTP/1.1\r\n{H}{H}\r\n",
    "blank before the colon": f"GET / HTTP/1.1\r\n{H}X : 1\r\n\r\n",
    "folded line": f"GET / HTTP/1.1\r\n{H}X: 1\r\n 2\r\n\r\n",
    "control byte": f"GET / HTTP/1.1\r\n{H}X: \x01\r\n\r\n",
    "length and chunked": f"POST / HTTP/1.1\r\n{H}{CHUNKED}Content-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": f"POST / HTTP/1.1\r\n{H}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "signed length": f"POST / HTTP/1.1\r\n{H}Content-Length: +3\r\n\r\nabc",
    "no number": f"POST / HTTP/1.1\r\n{H}Content-Length: 0x3\r\n\r\nabc",
    "chunked twice": f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two lines": f"POST / HTTP/1.1\r\n{H}{CHUNKED}{CHUNKED}\r\n0\r\n\r\n",
    "chunked from an old client": f"POST / HTTP/1.0\r\n{CHUNKED}\r\n0\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}
REFUSED = [
    *(pytest.param(400, request, id=name) for name, request in MALFORMED.items()),
    pytest.param(505, f"GET / HTTP/2.0\r\n{H}\r\n", id="other version"),
    pytest.param(501, f"POST / HTTP/1.1\r\n{H}Transfer-Encoding: gzip, chunked\r\n\r\n", id="other coding"),
    pytest.param(414, f"GET /{'x' * 9000} HTTP/1.1\r\n{H}\r\n", id="long target"),
    pytest.param(431, f"GET / HTTP/1.1\r\n{H}X: {'x' * 40000}\r\n\r\n", id="large head"),
    pytest.param(431, f"GET / HTTP/1.1\r\n{H}" + "X: y\r\n" * 101 + "\r\n", id="many fields"),
    pytest.param(413, f"POST / HTTP/1.1\r\n{H}Content-Length: {(100 << 20) + 1}\r\n\r\n", id="large body"),
]


@pytest.mark.parametrize(("status", "request_"), REFUSED)
def test_an_unsound_request_is_refused_and_reaches_no_server(
    serve: Serve, client: Client, status: int, request_: str
) -> None:
    [server] = serve(echo)
    smuggled = client.head("GET", "/smuggled")
    client.send(request_.encode("latin-1") + smuggled)
    answer = client.receive()
    assert answer.status == status
    assert answer.header("Connection") == "close"
    assert answer.all("X-Forwarded-Server") == []
    assert client.ended()
    assert of_clients(server) == []


@pytest.mark.parametrize(
    "body", [b"5\nhello\r\n0\r\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"-1\r\n", b"5 5\r\nhello"]
)
def test_a_malformed_chunk_ends_in_400(plane: Fleet, serve: Serve, client: Client, body: bytes) -> None:
    """A server may be asked, as the head was sound; but the request never becomes complete for it."""
    [server] = serve(echo)
    client.send(
        client.head("POST", "/", "Transfer-Encoding: chunked") + body + client.head("GET", "/smuggled")
    )
    assert client.receive().status == 400
    assert client.ended()
    plane.wait_idle()
    assert of_clients(server) == []


@pytest.mark.slow
def test_a_body_that_grows_past_the_limit_is_413(serve: Serve, client: Client) -> None:
    [server] = serve(echo)
    client.send(client.head("POST", "/", "Transfer-Encoding: chunked"))
    for _ in range(100):
        client.send(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
    client.send(b"1\r\nx\r\n")
    assert client.receive().status == 413
    assert client.ended()
    assert of_clients(server) == []


@pytest.mark.parametrize("start", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_end_is_408(plane: Fleet, client: Client, start: bytes) -> None:
    client.send(start)
    assert client.receive().status == 408
    assert client.ended()


def test_a_body_that_does_not_end_is_408(serve: Serve, client: Client) -> None:
    serve(echo)
    client.send(client.head("POST", "/", "Content-Length: 10") + b"half")
    assert client.receive().status == 408
    assert client.ended()
