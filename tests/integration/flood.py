"""Peers that send as fast as they can, of any kind, and what is asked of a server beside them."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Self

from tests.integration.load import Client
from tests.integration.raw import Connection, Script
from tests.support import eventually

#: Requests of another client meanwhile; a held loop would let it wait for longer than its patience.
REQUESTS = 200
PIECE_BYTES = 4096

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HOST = b" HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HOST + b"Transfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"

TINY = b"1\r\nx\r\n"
EXTENDED = b"1;" + b"e" * 300 + b"\r\nx\r\n"
PADDED = b"0" * 200 + b"1\r\nx\r\n"

#: What a client says first, and what it repeats.
CLIENTS = {
    "tiny chunks": (b"POST /sink" + CHUNKED, TINY),
    "chunk extensions": (b"POST /sink" + CHUNKED, EXTENDED),
    "leading zeros": (b"POST /sink" + CHUNKED, PADDED),
    "one endless line": (b"POST /sink" + CHUNKED + b"1;", b"e"),
    "trailers": (b"POST /sink" + CHUNKED + b"0\r\n", b"A: 1\r\n"),
    "a body of known length": (b"POST /sink" + HOST + b"Content-Length: 99999999\r\n\r\n", b"x"),
    "a body that is refused": (b"POST /" + HOST + b"Content-Length: 999999999999\r\n\r\n", b"x"),
    "pipelined requests": (b"", b"GET /" + HOST + b"\r\n"),
    "requests behind empty lines": (b"", b"\r\nGET /" + HOST + b"\r\n"),
    "an endless head": (b"GET /" + HOST, b"A: 1\r\n"),
    "empty lines": (b"", b"\r\n"),
    "a tunnel": (b"GET /sink" + HOST + b"Connection: upgrade\r\nUpgrade: x\r\n\r\n", b"x"),
}

#: What a server says first, and what it repeats.
SERVERS = {
    "tiny chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TINY),
    "chunk extensions": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", EXTENDED),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: 1\r\n"),
    "a body of known length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x"),
    "a body that ends with the connection": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "an endless head": (b"HTTP/1.1 200 OK\r\n", b"A: 1\r\n"),
    "a tunnel": (SWITCH, b"x"),
}


class Flood:
    """A client that repeats something as fast as it can, from entry to exit, and reads all that comes.

    When its connection ends it begins with a new one.
    """

    def __init__(self, url: str, begin: bytes, again: bytes) -> None:
        self._url, self._begin = url, begin
        self._piece = again * (PIECE_BYTES // len(again) or 1) if again else b""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._socket: socket.socket | None = None
        self.moved = 0  # connections, and calls that sent or received some

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._hang_up()
        self._thread.join(20)

    def _hang_up(self) -> None:
        with suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._stop.is_set():
            with Client(self._url) as client:
                self._socket = client.socket
                # What is still unread when it leaves is not read: a close is a reset.
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.moved += 1
                reading = threading.Thread(target=self._read, args=(client.socket,), daemon=True)
                reading.start()
                with suppress(OSError):
                    self._write(client)
                if self._stop.is_set():
                    self._hang_up()
                reading.join()

    def _write(self, client: Client) -> None:
        client.send(self._begin)
        while self._piece and not self._stop.is_set():
            client.send(self._piece)
            self.moved += 1

    def _read(self, sock: socket.socket) -> None:
        with suppress(OSError):
            while sock.recv(65536) and not self._stop.is_set():
                self.moved += 1


def peer_of(begin: bytes, again: bytes) -> Script:
    """Make a server's script: `/flood` is answered with that, `/sink` takes all that comes."""

    def script(connection: Connection) -> None:
        while head := connection.read_head():
            target = head.split()[1]
            if target == b"/sink":
                connection.send(SWITCH if b"Upgrade: x" in head else b"")
                while connection.read(PIECE_BYTES):
                    pass
                return
            if target == b"/flood":
                connection.send(begin)
                while True:
                    connection.send(again * (PIECE_BYTES // len(again)))
            connection.send(OK)

    return script


#: The same for clients of the admin API.
OPERATORS = {
    "tiny chunks": (b"POST /servers" + CHUNKED, TINY),
    "chunk extensions": (b"POST /servers" + CHUNKED, EXTENDED),
    "trailers": (b"POST /servers" + CHUNKED + b"0\r\n", b"A: 1\r\n"),
    "a body of known length": (b"POST /servers" + HOST + b"Content-Length: 99999999\r\n\r\n", b"x"),
    "pipelined requests": (b"", b"GET /none" + HOST + b"\r\n"),
    "an endless head": (b"GET /" + HOST, b"A: 1\r\n"),
    "empty lines": (b"", b"\r\n"),
}


def served_beside(url: str, flood: Flood, target: str = "/", requests: int = REQUESTS) -> None:
    """Have another client served while the flood goes on, which gets its share, too."""
    eventually(lambda: flood.moved, what="the flood to begin")
    with Client(url) as client:
        for _ in range(requests):
            before = flood.moved
            assert client.ask(target=target).status == 200
        eventually(lambda: flood.moved > before, what="the flood to go on")
