"""What the scenarios of these tests are made of: the other ends of our connections, and a whole data plane.

Everything runs in the one hub of the test's thread, so a scenario is as deterministic as straight code: a
scripted server is a greenlet, and the client is the test itself.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import gevent
import gevent.socket
import redis

from lb.config import Config
from lb.model import ServerId, ServerSpec, WorkerId
from lb.proxy.exchange import Unmetered
from lb.proxy.plane import DataPlane
from lb.store.keys import Keys
from lb.store.lease_line import LeaseLine
from lb.store.lease_wire import LeaseProtocol, dial
from lb.store.pool import BackendPool

T = TypeVar("T")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT"
OK = b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\nok" % DATE
SHORT = "300ms"
SHORT_SECONDS = 0.3


def until(condition: Callable[[], T], *, seconds: float = 20.0, what: str = "") -> T:
    """Return the first true result of `condition`; the hub goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or condition}"
        gevent.sleep(0.002)
    return result


class Peer:
    """The other end of one of our connections, as a server or a client has it."""

    def __init__(self, sock: Any) -> None:
        self.socket = sock
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, data: bytes = GET) -> bytes:
        """Send a request; return the response's head and, by its Content-Length, its body."""
        self.send(data)
        return self.message()

    def head(self) -> bytes:
        """Read a head with its empty line; what there is if the connection ends before."""
        while b"\r\n\r\n" not in self._read:
            more = self.socket.recv(65536)
            if not more:
                head, self._read = self._read, b""
                return head
            self._read += more
        head, end, self._read = self._read.partition(b"\r\n\r\n")
        return head + end

    def exactly(self, size: int) -> bytes:
        """Read so many bytes; fewer if the connection ends before."""
        while len(self._read) < size and (more := self.socket.recv(65536)):
            self._read += more
        data, self._read = self._read[:size], self._read[size:]
        return data

    def line(self) -> bytes:
        """Read a line, without its end."""
        line = b""
        while not line.endswith(b"\r\n"):
            line += self.exactly(1) or b"\r\n"
        return line[:-2]

    def message(self) -> bytes:
        """Read a head, and a body of known length."""
        head = self.head()
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return head + self.exactly(int(value))
        return head

    def rest(self) -> bytes:
        """Read to the end of the connection."""
        data, self._read = self._read, b""
        while more := self.socket.recv(65536):
            data += more
        return data

    def ended(self) -> bool:
        """Wait for the other side to end or reset the connection; False if it says something instead."""
        try:
            return not self._read and self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Script = Callable[[Peer], object]


class ScriptedServer:
    """A server whose n-th connection is played by the n-th script; the last one plays all further ones."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.peers: list[Peer] = []
        self._listener = gevent.socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.id = ServerId(f"127.0.0.1:{self._listener.getsockname()[1]}")
        self._greenlets = [gevent.spawn(self._accept)]

    @property
    def connections(self) -> int:
        """How many it has accepted."""
        return len(self.peers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gevent.killall(self._greenlets)
        self._listener.close()
        for peer in self.peers:
            peer.close()

    def _accept(self) -> None:
        while True:
            peer = Peer(self._listener.accept()[0])
            script = self.scripts[min(len(self.peers), len(self.scripts) - 1)]
            self.peers.append(peer)
            self._greenlets.append(gevent.spawn(self._play, script, peer))

    @staticmethod
    def _play(script: Script, peer: Peer) -> None:
        with suppress(OSError):  # the balancer may hang up in the middle
            script(peer)


def answering(response: bytes = OK) -> Script:
    """A script that answers every request of its connection with the same bytes."""

    def script(peer: Peer) -> None:
        while peer.message():
            peer.send(response)

    return script


def recording(requests: list[bytes], response: bytes = OK) -> Script:
    """The same, and every request is added to `requests`."""

    def script(peer: Peer) -> None:
        while request := peer.message():
            requests.append(request)
            peer.send(response)

    return script


def saying(*pieces: bytes, reset: bool = False) -> Script:
    """A script that says these to its one request, one after the other, and ends the connection."""

    def script(peer: Peer) -> None:
        peer.message()
        for piece in pieces:
            peer.send(piece)
            gevent.sleep(0.005)
        if reset:
            peer.reset()
        else:
            peer.close()

    return script


def dies_at_the_second(peer: Peer) -> None:
    """A script that answers one request, and resets the connection when another comes."""
    peer.message()
    peer.send(OK)
    peer.message()
    peer.reset()


def slowly(peer: Peer) -> None:
    """A script that lets some time pass before its one answer."""
    peer.message()
    gevent.sleep(0.1)
    peer.send(OK)


def endless(peer: Peer) -> None:
    """Answer one request with a body that does not end."""
    peer.message()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"10000\r\n%b\r\n" % (b"x" * 0x10000))


def deserted(noted: list[bool]) -> Script:
    """A script that answers nothing, and notes whether the connection just ended then."""

    def script(peer: Peer) -> None:
        peer.message()
        noted.append(peer.ended())

    return script


@contextmanager
def refused_port() -> Iterator[ServerId]:
    """A server id that refuses connections, and a port that nobody else gets meanwhile."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield ServerId(f"127.0.0.1:{unheard.getsockname()[1]}")


class Events:
    """Notes what a lease line tells."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.failures: list[tuple[ServerId, int]] = []
        self.store: list[str] = []
        self.batches: list[int] = []

    def pool_changed(self, version: int) -> None:
        self.versions.append(version)

    def granted(self, picks: int, seconds: float) -> None:
        self.batches.append(picks)

    def server_failed(self, server: ServerId, failures: int) -> None:
        self.failures.append((server, failures))

    def store_lost(self, reason: str) -> None:
        self.store.append("lost")

    def store_back(self) -> None:
        self.store.append("back")

    def store_empty(self) -> None:
        self.store.append("empty")


class Counted(Unmetered):
    """Meters that keep each call, in order: `("answered", server, status)` and the like."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | int, ...]] = []
        self.seconds: list[float] = []

    def answered(self, server: ServerId, status: int, seconds: float) -> None:
        self.calls.append(("answered", server, status))
        self.seconds.append(seconds)

    def retried(self, server: ServerId) -> None:
        self.calls.append(("retried", server))

    def cut(self, server: ServerId) -> None:
        self.calls.append(("cut", server))

    def client_gone(self, server: ServerId) -> None:
        self.calls.append(("client_gone", server))

    def closed_idle(self) -> None:
        self.calls.append(("closed_idle",))

    def refused(self) -> None:
        self.calls.append(("refused",))


class Balancer:
    """A data plane on a port of its own, with a lease line to the real store."""

    def __init__(
        self, connection: redis.Redis, keys: Keys, servers: list[ServerId], settings: dict[str, Any]
    ) -> None:
        self.pool = BackendPool(connection, keys)
        self.pool.reconcile([ServerSpec(server, f"http://{server}") for server in servers], "round-robin", "")
        self.events = Events()
        worker = WorkerId(f"w{random.randrange(10**9)}")
        protocol = LeaseProtocol(worker, keys, host="here", pid=1, started=1.0)
        self.line = LeaseLine(lambda: dial(connection), protocol, self.events, patience_seconds=0.05)
        self.line.start()
        self.line.update(self.pool.snapshot())
        config = Config.model_validate({"port": 0, **settings})
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.meters = Counted()
        self.plane = DataPlane(config, self.line, listener, self.meters)
        self.plane.start()

    def client(self) -> Peer:
        return Peer(gevent.socket.create_connection(self.address))

    def ask(self, request: bytes = GET) -> bytes:
        """Send a request on a connection of its own; return all that comes until it answered."""
        with self.client() as client:
            return client.ask(request)

    def clients(self) -> int:
        """How many client connections it has open."""
        return len(self.plane._acceptor.clients)

    def connections(self) -> int:
        """Count the requests in flight, as the store does."""
        return sum(status.connections for status in self.pool.list())

    def failures(self, server: ServerId) -> int:
        """How often a server failed in a row, as the store counts."""
        until(lambda: not self.connections(), what="all leases released")
        return next(status.failures for status in self.pool.list() if status.server.id == server)

    def stop(self) -> None:
        """Stop, and check that nothing is left behind."""
        for stream in list(self.plane._acceptor.clients):
            stream.close()
        left = self.plane.stop(2)
        until(lambda: not any(self.line.held.values()), what="all leases given back")
        until(lambda: not self.connections(), what="all leases released in the store")
        self.plane.keep_only([])
        assert not left
        assert not self.plane._deadlines.streams, "a connection is left open"
        self.plane._deadlines.close()
        assert self.line._wire is not None
        self.line._wire.close()
        self.line._timer.close()


@contextmanager
def playing(*scripts: Script) -> Iterator[ScriptedServer]:
    with ScriptedServer(*scripts) as server:
        yield server


@contextmanager
def sockets() -> Iterator[tuple[Any, Any]]:
    """A connected pair: ours raw and non-blocking, the other end gevent's."""
    ours, theirs = socket.socketpair()
    raw = socket.SocketType(ours.family, ours.type, ours.proto, ours.detach())
    raw.setblocking(False)
    other = gevent.socket.socket(theirs.family, theirs.type, theirs.proto, theirs.detach())
    with closing(other):
        yield raw, other
    raw.close()
