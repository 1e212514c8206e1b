"""A client's whole connection through a data plane to a server that h11 speaks for.

Whatever the client sends, and however it is cut: nothing raises or hangs, no lease is left, the server gets
sound requests only, and no other than h11 reads in the client's bytes. Anything else would be smuggling.
"""

from __future__ import annotations

import logging
import random
import socket
from contextlib import suppress
from functools import cache
from typing import Any, cast

import gevent
import gevent.socket
import h11

from lb.config import Config
from lb.model import ServerId
from lb.proxy.plane import DataPlane
from lb.proxy.stream import Stream
from lb.store.lease import Lease
from lb.store.lease_line import LeaseLine
from tests.fuzz.chunks import cut

_CHUNKED = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
SEEDS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloHEAD / HTTP/1.0\r\nHost: a\r\n\r\n",
    _CHUNKED + b"\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    _CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nPOST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    b"GET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n\x00",
)

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
_PATIENCE_SECONDS = 5.0

#: Targets of browsers have other bytes too, and pass; h11 would not have them, so it sees these instead.
_ASCII = bytes(byte if byte < 0x80 else ord("z") for byte in range(256))

Asked = tuple[bytes, bytes, bytes]  # method, target, body


class _Line:
    """Stands in for the lease line: one server, and a count."""

    def __init__(self, server: ServerId) -> None:
        self._server = server
        self.held = 0

    def lease(self, tried: tuple[ServerId, ...]) -> Lease | None:
        if tried:
            return None
        self.held += 1
        return Lease(self._server, 0.0)

    def release(self, lease: Lease) -> None:
        self.held -= 1


class _Faults(logging.Handler):
    """Keeps what the data plane logs: an exception that nobody expected."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Rig:
    """The data plane with its server, for all inputs of a run."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.unsound: list[str] = []
        self.faults = _Faults()
        logging.getLogger("lb.proxy").addHandler(self.faults)
        listener = gevent.socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        gevent.spawn(self._accept, listener)
        self.line = _Line(ServerId(f"127.0.0.1:{listener.getsockname()[1]}"))
        config = Config.model_validate({"port": 0, "timeouts": {"responseHead": "2s", "idle": "2s"}})
        unused = socket.create_server(("127.0.0.1", 0))
        self.plane = DataPlane(config, cast("LeaseLine", self.line), unused)

    def run(self, pieces: list[bytes]) -> bytes:
        """Play a client that sends the pieces, and leaves once nothing more comes of them."""
        ours, theirs = socket.socketpair()
        raw = socket.SocketType(ours.family, ours.type, ours.proto, ours.detach())
        raw.setblocking(False)
        client = gevent.socket.socket(theirs.family, theirs.type, theirs.proto, theirs.detach())
        stream = Stream(raw, self.plane._deadlines)
        with client, gevent.Timeout(_PATIENCE_SECONDS, AssertionError("it hangs")):
            serving = gevent.spawn(self.plane._serve, stream, "127.0.0.1")
            with suppress(OSError):  # it may refuse to read on
                for piece in pieces:
                    client.sendall(piece)
                    gevent.idle()
            self._settle(stream, serving)
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            got = b""
            with suppress(ConnectionError):
                while data := client.recv(65536):
                    got += data
            serving.join()
        assert stream.closed
        return got

    def _settle(self, stream: Stream, serving: gevent.Greenlet[Any, None]) -> None:
        """Wait until the plane waits for more of the client's bytes."""
        calm = 0
        while calm < 3 and not serving.ready():
            gevent.idle()
            calm = calm + 1 if stream.waits else 0

    def _accept(self, listener: Any) -> None:
        while True:
            gevent.spawn(self._answer, listener.accept()[0])

    def _answer(self, sock: Any) -> None:
        connection = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        body = b""
        with sock, suppress(OSError):
            while True:
                try:
                    event = connection.next_event()
                except h11.RemoteProtocolError as error:
                    if "closed" not in str(error):  # a client may leave within its body
                        self.unsound.append(str(error))
                    return
                if event is h11.NEED_DATA:
                    connection.receive_data(sock.recv(65536).translate(_ASCII))
                elif isinstance(event, h11.Request):
                    head, body = event, b""
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage) and head:
                    self.asked.append((head.method, head.target, body))
                    sock.sendall(_ANSWER if head.method == b"HEAD" else _ANSWER + b"ok")
                    _next(connection)
                else:
                    return


def whole_connection(data: bytes) -> None:
    """Send it at once and in pieces; the first two bytes choose these."""
    rig = _rig()
    rng, data = random.Random(data[:2]), data[2:]
    first = _asked(rig, [data])
    second = _asked(rig, cut(data, rng))
    assert first == second, f"in pieces, the server is asked {second}, else {first}"
    theirs = read_by_h11(data)
    for ours, other in zip(first, theirs, strict=False):
        same_target = ours[1] == other[1] or not other[1].startswith(b"/")
        assert (ours[0], ours[2]) == (other[0], other[2]), f"{ours} reached the server, h11 reads {other}"
        assert same_target, f"{ours} reached the server, h11 reads {other}"


def _asked(rig: Rig, pieces: list[bytes]) -> list[Asked]:
    rig.asked.clear()
    answers = rig.run(pieces)
    assert not rig.faults.records, rig.faults.format(rig.faults.records[0])
    assert not rig.unsound, f"the server cannot read what it gets: {rig.unsound}"
    assert rig.line.held == 0, "a lease is left"
    assert answers.count(b"HTTP/1.1 200 OK\r\n") <= len(rig.asked)
    return list(rig.asked)


def read_by_h11(data: bytes) -> list[Asked]:
    """Return the requests that h11 finds, up to where it finds a fault."""
    connection = h11.Connection(h11.SERVER)
    found: list[Asked] = []
    head: h11.Request | None = None
    body = b""
    try:
        connection.receive_data(data.translate(_ASCII))
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head:
                found.append((head.method, head.target, body))
                _next(connection)
            else:
                return found
    except h11.ProtocolError:
        return found


def _next(connection: h11.Connection) -> None:
    """Answer, so that the next request can be read."""
    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.start_next_cycle()


@cache
def _rig() -> Rig:
    return Rig()
