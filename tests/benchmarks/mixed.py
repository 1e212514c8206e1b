"""Traffic of many kinds, good and bad, and the server that takes part in it."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import gevent
import gevent.socket

_HUNDRED = b"x" * (100 << 10)
_SIXTEEN = b"y" * (16 << 10)
_SLOW_SECONDS = 0.02
_PATIENCE_SECONDS = 30.0
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class _Wire:
    """One end of a connection that reads HTTP of known shape."""

    def __init__(self, sock: Any) -> None:
        self.socket = sock
        self._data = b""

    def until(self, mark: bytes) -> bytes:
        """Read up to and with a mark; EOFError if the connection ends before."""
        while (end := self._data.find(mark)) < 0:
            self._more()
        found, self._data = self._data[: end + len(mark)], self._data[end + len(mark) :]
        return found

    def skip(self, size: int) -> None:
        while len(self._data) < size:
            size -= len(self._data)
            self._data = b""
            self._more()
        self._data = self._data[size:]

    def message(self) -> bytes:
        """Read a message, and return its head."""
        head = self.until(b"\r\n\r\n")
        if b"chunked" in head:
            while size := int(self.until(b"\r\n"), 16):
                self.skip(size + 2)
            self.until(b"\r\n")
        elif (at := head.find(b"Content-Length: ")) >= 0:
            self.skip(int(head[at + 16 : head.find(b"\r", at)]))
        return head

    def reset(self) -> None:
        """Make its closing a reset."""
        self.socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self._data += data


# --- the server


@contextmanager
def running_server() -> Iterator[int]:
    """Run the server in a process of its own; yield its port."""
    command = [sys.executable, "-m", "tests.benchmarks.mixed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _accept() -> None:
    listener = gevent.socket.socket()
    listener.bind(("0.0.0.0", 0))
    listener.listen(1024)
    print(listener.getsockname()[1], flush=True)
    while True:
        gevent.spawn(_serve, listener.accept()[0])


def _serve(sock: Any) -> None:
    wire = _Wire(sock)
    with sock, suppress(OSError, EOFError):
        while _answer(wire, wire.message().split(b" ", 2)[1]):
            pass


def _answer(wire: _Wire, target: bytes) -> bool:
    """Answer as the target asks for; False to close."""
    send = wire.socket.sendall
    if target == b"/slow":
        gevent.sleep(_SLOW_SECONDS)
    if target == b"/reset":
        wire.reset()
        return False
    if target == b"/cut":
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
        return False
    if target == b"/chunks":
        send(b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"3\r\nabc\r\n")
        send(b"2710\r\n%b\r\n0\r\n\r\n" % _HUNDRED[:10000])
    elif target == b"/large":
        send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_HUNDRED), _HUNDRED))
    elif target == b"/busy":
        send(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
    else:
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return True


# --- the clients


def _head(method: bytes, target: bytes, number: int, *, rest: bytes = b"\r\n") -> bytes:
    """Return a request's head; its number makes its fields new to whoever remembers heads."""
    lines = b"Host: mixed\r\nUser-Agent: endurance\r\nX-Number: %d\r\n" % number
    return b"%b %b HTTP/1.1\r\n%b%b" % (method, target, lines, rest)


def _post(target: bytes, number: int, body: bytes) -> bytes:
    return _head(b"POST", target, number, rest=b"Content-Length: %d\r\n\r\n" % len(body)) + body


def _upload(number: int) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (size, _SIXTEEN[:size]) for size in (1, 500, 4000))
    return _head(b"PUT", b"/chunks", number, rest=_CHUNKED) + chunks + b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: its share, its bytes by number, and what must come of it."""

    share: int
    request: Callable[[int], bytes]
    outcome: str  # a status; "cut", or "left" if the client does not wait for the answer


KINDS = {
    "tiny": Kind(50, lambda number: _head(b"GET", b"/", number % 50), "200"),
    "new fields": Kind(10, lambda number: _head(b"GET", b"/", number), "200"),
    "post": Kind(10, lambda number: _post(b"/", number % 50, _SIXTEEN), "200"),
    "chunks": Kind(10, _upload, "200"),
    "large": Kind(8, lambda number: _head(b"GET", b"/large", 0), "200"),
    "slow": Kind(2, lambda number: _head(b"GET", b"/slow", 0), "200"),
    "busy": Kind(2, lambda number: _head(b"GET", b"/busy", 0), "503"),
    "reset": Kind(2, lambda number: _post(b"/reset", 0, b"once"), "502"),
    "cut": Kind(2, lambda number: _head(b"GET", b"/cut", 0), "cut"),
    "malformed": Kind(1, lambda number: b"GET / HTTP/1.1\r\nHost: a\r\nX : %d\r\n\r\n" % number, "400"),
    "left waiting": Kind(1, lambda number: _head(b"GET", b"/slow", 0), "left"),
    "left in its body": Kind(1, lambda number: _post(b"/", 0, _SIXTEEN)[:-1000], "left"),
    "left in its answer": Kind(1, lambda number: _head(b"GET", b"/large", 0), "left"),
}


class Clients:
    """Clients that send requests of all kinds, each on a connection that it keeps for as long as it can."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._random = random.Random(1)
        self._left = 0
        self.done = 0
        self.counts: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()

    def send(self, requests: int) -> None:
        """Send so many requests, and close all connections."""
        self._left = requests
        gevent.joinall([gevent.spawn(self._run) for _ in range(self._count)], raise_error=True)

    def _run(self) -> None:
        wire: _Wire | None = None
        while self._left > 0:
            self._left -= 1
            name = self._random.choices(_NAMES, _SHARES)[0]
            wire = wire or _Wire(gevent.socket.create_connection(("127.0.0.1", self._port)))
            outcome, again = self._ask(wire, KINDS[name])
            self.done += 1
            self.counts[name] += 1
            if outcome != KINDS[name].outcome:
                self.unexpected[f"{name}: {outcome}"] += 1
            if not again:
                wire.socket.close()
                wire = None
        if wire:
            wire.socket.close()

    def _ask(self, wire: _Wire, kind: Kind) -> tuple[str, bool]:
        """Send a request; return what came of it, and whether the connection can take another."""
        with gevent.Timeout(_PATIENCE_SECONDS, TimeoutError):
            try:
                wire.socket.sendall(kind.request(self.done))
                if kind.outcome == "left":
                    if self._random.random() < 0.5:
                        wire.reset()
                    return "left", False
                head = wire.message()
            except (OSError, EOFError) as error:
                cut = not isinstance(error, TimeoutError)
                return "cut" if cut else "no answer", False
        return head[9:12].decode(), b"\r\nConnection: close" not in head


_NAMES = list(KINDS)
_SHARES = [kind.share for kind in KINDS.values()]


if __name__ == "__main__":
    _accept()
