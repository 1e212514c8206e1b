"""Real HTTP servers on the loopback interface, which do to each request what the test says.

with servers(3) as three: ...                       # each answers 200 and its own id
with HttpServer(lambda request: response(503)) as failing: ...
server.behaviour = lambda request: None             # from now on: close without an answer
"""

from __future__ import annotations

import io
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn

from tests.support import free_port


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in, its body without framing."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the values of a header, joined by a comma; None if there is none."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None


class ResetError(Exception):
    """Raised by a behaviour: cut the connection with a TCP reset."""


#: What to send back: bytes as they are, or in pieces; None closes the connection. Or raise ResetError.
Behaviour = Callable[[Request], "bytes | Iterable[bytes] | None"]


def response(status: int = 200, body: bytes = b"", *headers: tuple[str, str]) -> bytes:
    """Return a complete response with Content-Length."""
    lines = [f"HTTP/1.1 {status} Status {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class HttpServer:
    """One server, from entry to exit; `stop` and `start` in between keep its port."""

    def __init__(self, behaviour: Behaviour | None = None, address: str = "127.0.0.1") -> None:
        self.address = address
        self.behaviour: Behaviour = behaviour or self._say_id
        self.requests: list[Request] = []
        self.connections = 0  # accepted so far
        self.port = 0
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> HttpServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def id(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.id}"

    def start(self) -> None:
        """Listen and answer."""
        self._listener = socket.create_server((self.address, self.port or free_port()), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on, and cut those that are open."""
        if self._listener is None:
            return
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _say_id(self, _request: Request) -> bytes:
        return response(200, self.id.encode())

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream, suppress(OSError):
                while request := _read(stream):
                    self.requests.append(request)
                    if not self._answer(connection, request):
                        return
        finally:
            with self._lock:
                self._open.discard(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        try:
            answer = self.behaviour(request)
            for piece in (answer,) if isinstance(answer, bytes) else answer or ():
                connection.sendall(piece)
        except ResetError:
            # a lingering time of zero makes the close a reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        return answer is not None and (request.header("Connection") or "").lower() != "close"


@contextmanager
def servers(count: int) -> Iterator[list[HttpServer]]:
    """Several servers, each answering with its own id."""
    with ExitStack() as stack:
        yield [stack.enter_context(HttpServer()) for _ in range(count)]


def _read(stream: io.BufferedReader) -> Request | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = []
    while field := stream.readline().decode("latin-1").strip():
        name, _, value = field.partition(":")
        headers.append((name, value.strip()))
    request = Request(line[0], line[1], tuple(headers), b"")
    if (request.header("Transfer-Encoding") or "").lower() == "chunked":
        body = b"".join(_chunks(stream))
    else:
        body = _exactly(stream, int(request.header("Content-Length") or 0))
    return Request(line[0], line[1], tuple(headers), body)


def _exactly(stream: io.BufferedReader, size: int) -> bytes:
    data = stream.read(size)
    return data if len(data) == size else _cut()


def _cut() -> NoReturn:
    raise ConnectionAbortedError("the client left within its body")


def _chunks(stream: io.BufferedReader) -> Iterator[bytes]:
    while size := int(stream.readline().partition(b";")[0] or _cut(), 16):
        yield _exactly(stream, size)
        stream.readline()
    while stream.readline().strip():  # trailers
        pass
