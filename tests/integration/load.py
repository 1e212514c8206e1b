"""Clients that see every byte: one connection, and many that send requests until they are told to stop."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

#: Longer than any time-out of the balancer under test: a client that waits so long has found a fault.
PATIENCE_SECONDS = 20.0


class CutError(Exception):
    """The connection ended before the response did."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it came in, its body without framing."""

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Return the values of a header, one for each line."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the value of a header; None if there is none, an AssertionError if there are several."""
        values = self.all(name)
        assert len(values) <= 1, self.headers
        return values[0] if values else None

    @property
    def server(self) -> str:
        """Which server answered, by id, as the balancer tells; empty if none did."""
        return (self.header("X-Forwarded-Server") or "").removeprefix("http://")


class Client:
    """One connection to the balancer: what is sent goes out as it is, what comes is read strictly."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.host = place.netloc
        assert place.hostname
        self.socket = socket.create_connection((place.hostname, place.port or 80), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self.socket.getsockname()[1]
        self._stream = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._stream.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def head(self, method: str = "GET", target: str = "/", *lines: str) -> bytes:
        """Return a request's head with a Host line and these."""
        text = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {self.host}", *lines, "", ""])
        return text.encode("latin-1")

    def ask(self, method: str = "GET", target: str = "/", *lines: str, body: bytes | None = None) -> Response:
        """Send a request and return its response."""
        if body is not None:
            lines = (*lines, f"Content-Length: {len(body)}")
        self.send(self.head(method, target, *lines) + (body or b""))
        return self.receive(method)

    def receive(self, method: str = "GET") -> Response:
        """Return the next response, an interim one also; CutError if the connection ends within it."""
        first = self._line().split(maxsplit=2)
        if len(first) < 2 or not first[0].startswith("HTTP/1."):
            raise CutError(f"no status line: {first}")
        fields = []
        while line := self._line():
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))
        head = Response(first[0], int(first[1]), tuple(fields))
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            return head
        return Response(head.version, head.status, head.headers, b"".join(self._body(head)))

    def ended(self) -> bool:
        """Wait for the end of the connection; False if something else comes."""
        with suppress(ConnectionResetError):
            return self._stream.read(1) == b""
        return True

    def _body(self, head: Response) -> Iterator[bytes]:
        if head.header("Transfer-Encoding") == "chunked":
            while size := int(self._line(), 16):
                yield self._exactly(size)
                assert self._line() == ""
            while self._line():  # trailers
                pass
        elif (length := head.header("Content-Length")) is not None:
            yield self._exactly(int(length))
        else:
            yield self._stream.read()

    def _line(self) -> str:
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise CutError(f"cut within {line!r}")
        return line[:-2].decode("latin-1")

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise CutError(f"cut after {len(data)} of {size} bytes")
        return data


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: a status and a server, or why there was no response."""

    sent: float  # monotonic seconds, just before it was sent
    port: int  # of the client's connection
    status: int = 0
    server: str = ""
    error: str = ""


class Load:
    """Clients that send one GET after the other on a connection each, from entry to exit.

    A client whose connection breaks notes it and connects again; one that is told that its connection ends
    with this response does as it is told. With a `total` they stop after so many.
    """

    def __init__(self, url: str, connections: int = 8, total: int | None = None) -> None:
        self.outcomes: list[Outcome] = []
        self.clients = [Client(url) for _ in range(connections)]
        self._url = url
        self._left = total
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(client,)) for client in self.clients]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more, and wait until what was sent is answered."""
        self._stop.set()
        self.join()

    def close(self) -> None:
        """Leave without having sent anything."""
        for client in self.clients:
            client.close()

    def join(self) -> None:
        """Wait until all requests are answered."""
        for thread in self._threads:
            thread.join(3 * PATIENCE_SECONDS)
            assert not thread.is_alive(), "a client hangs"

    @property
    def errors(self) -> list[Outcome]:
        """The requests that did not end with 200."""
        return [outcome for outcome in self.outcomes if outcome.status != 200]

    def since(self, moment: float) -> list[Outcome]:
        """Return the requests that were sent after a moment, in that order."""
        return sorted(
            (outcome for outcome in self.outcomes if outcome.sent > moment), key=lambda one: one.sent
        )

    def _run(self, client: Client) -> None:
        while not self._stop.is_set() and self._take_one():
            sent = time.monotonic()
            try:
                response = client.ask()
            except (OSError, CutError) as error:
                self.outcomes.append(Outcome(sent, client.port, error=repr(error)))
                client.close()
                client = Client(self._url)
            else:
                self.outcomes.append(Outcome(sent, client.port, response.status, response.server))
                if (response.header("Connection") or "").lower() == "close":
                    client.close()
                    client = Client(self._url)
        client.close()

    def _take_one(self) -> bool:
        if self._left is None:
            return True
        with self._lock:
            self._left -= 1
            return self._left >= 0


def shares(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Count the requests by the server that answered."""
    return Counter(outcome.server for outcome in outcomes)
