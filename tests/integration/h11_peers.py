"""HTTP/1.1 spoken by h11, on both sides of the balancer: messages as values, sent in pieces of any size."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import h11

from tests.integration.load import PATIENCE_SECONDS
from tests.integration.raw import Acceptor

Headers = tuple[tuple[bytes, bytes], ...]

#: Tells the server which answer is wanted.
NUMBER = b"X-Number"


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response: `start` is its method and target, or its status."""

    start: tuple[bytes, bytes] | int
    headers: Headers = ()
    pieces: tuple[bytes, ...] | None = None  # of the body; None if there is none
    chunked: bool = False
    trailers: Headers = ()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces or ())

    def has(self, name: bytes) -> bool:
        return any(key.lower() == name.lower() for key, _ in self.headers)

    def events(self, *, bodiless: bool = False) -> Iterator[Any]:
        """Return what h11 sends; `bodiless` answers HEAD."""
        headers = list(self.headers)
        if self.chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
        elif self.pieces is not None:
            headers.append((b"Content-Length", b"%d" % len(self.body)))
        if isinstance(self.start, int):
            yield h11.Response(status_code=self.start, headers=headers)
        else:
            yield h11.Request(method=self.start[0], target=self.start[1], headers=headers)
        if not bodiless:
            for piece in self.pieces or ():
                yield h11.Data(piece)
        trailers = self.trailers if self.chunked and not bodiless else ()
        yield h11.EndOfMessage(headers=list(trailers))


class H11Server(Acceptor):
    """Answers each request with what `answers` holds for its number, and keeps what it received."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[bytes, Message] = {}
        self.received: dict[bytes, Message] = {}
        self.faults: list[h11.RemoteProtocolError] = []  # what h11 would not accept from the balancer
        self.random = random.Random(0)

    def serve(self, sock: socket.socket) -> None:
        """Answer all that comes on one connection."""
        connection = h11.Connection(h11.SERVER)
        try:
            while request := receive(connection, sock):
                self._answer(connection, sock, request)
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self.faults.append(error)
        except h11.LocalProtocolError:
            pass  # the balancer will not use the connection again

    def _answer(self, connection: h11.Connection, sock: socket.socket, request: Message) -> None:
        number = dict(request.headers).get(NUMBER, b"")
        self.received[number] = request
        answer = self.answers.get(number, Message(200, pieces=()))
        bodiless = isinstance(request.start, tuple) and request.start[0] == b"HEAD"
        data = encoded(connection, answer, bodiless=bodiless)
        send_in_pieces(sock, data, self.random)


def exchange(place: tuple[str, int], requests: Sequence[Message], rng: random.Random) -> list[Message]:
    """Send all requests on one connection, none waiting for an answer, and return the answers."""
    connections = [h11.Connection(h11.CLIENT) for _ in requests]
    data = b"".join(map(encoded, connections, requests))
    with socket.create_connection(place, PATIENCE_SECONDS) as sock:
        sender = threading.Thread(target=send_in_pieces, args=(sock, data, rng))
        sender.start()
        answers = []
        left = b""
        for connection in connections:
            if left:
                connection.receive_data(left)
            answer = receive(connection, sock)
            assert answer, "the connection ended before all was answered"
            answers.append(answer)
            left = connection.trailing_data[0]
        sender.join()
        return answers


def encoded(connection: h11.Connection, message: Message, *, bodiless: bool = False) -> bytes:
    return b"".join(connection.send(event) or b"" for event in message.events(bodiless=bodiless))


def receive(connection: h11.Connection, sock: socket.socket) -> Message | None:
    """Receive one whole message; None if the connection ends before it."""
    head: h11.Request | h11.Response | None = None
    pieces: list[bytes] = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(sock.recv(65536))
        elif isinstance(event, h11.Request | h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            assert head
            return _message(head, b"".join(pieces), tuple(event.headers.raw_items()))
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None


def _message(head: h11.Request | h11.Response, body: bytes, trailers: Headers) -> Message:
    start = (head.method, head.target) if isinstance(head, h11.Request) else head.status_code
    return Message(start, tuple(head.headers.raw_items()), (body,), trailers=trailers)


def send_in_pieces(sock: socket.socket, data: bytes, rng: random.Random) -> None:
    """Send data in pieces of any size, most of them small."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data:
        size = rng.choice((1, 2, 7, 100, 1000, 65536))
        sock.sendall(data[:size])
        data = data[size:]
