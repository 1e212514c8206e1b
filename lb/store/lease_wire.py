"""The lease line's connection: packs each batch into one EVALSHA and hands back the replies.

redis-py opens the connection (URL, authentication, database). From then on its socket is used directly,
because a call through redis-py costs more than forwarding a request: 170-230 µs of processor time against 30.
"""

from __future__ import annotations

import socket
import ssl
import struct
from _socket import socket as RawSocket  # noqa: N812 (unpatched, and a class to us)
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

import hiredis
import redis
from gevent import get_hub

from lb.errors import StoreError
from lb.model import ServerId, WorkerId
from lb.store import scripts
from lb.store.keys import Keys
from lb.store.session import store_error

_READ = 1  # EV_READ and EV_WRITE of libev, which gevent's loop.io takes
_WRITE = 2
_RECEIVE_BYTES = 65536

LeaseSocket: TypeAlias = RawSocket | ssl.SSLSocket
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

_NO_REPLY = b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$4\r\nSKIP\r\n"

_USUAL = [1, 1, 0]  # one request ended, with success

#: server id → [requests ended, 1 if any succeeded, failures since the last success]
Releases = Mapping[ServerId, list[int]]


@lru_cache(maxsize=8192)
def _bulk(value: str | int) -> bytes:
    """Encode one argument. Cached, as server ids and small numbers recur in every batch."""
    data = str(value).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


def dial(client: redis.Redis) -> LeaseSocket:
    """Open a new connection, load the scripts through it, and return its socket, made non-blocking.

    StoreError if that fails, StoreUnavailableError if the failure may pass.
    """
    pool = client.connection_pool
    connection: Any = pool.connection_class(
        **pool.connection_kwargs
    )  # not from the pool, which would wait for its return
    try:
        connection.connect()
        for name in ("lease", "register"):
            connection.send_command("SCRIPT", "LOAD", scripts.load(name).text)
            connection.read_response()
    except redis.RedisError as error:
        connection.disconnect()
        raise store_error(error, client) from error
    sock: LeaseSocket
    if isinstance(connection._sock, ssl.SSLSocket):
        sock, connection._sock = connection._sock, None  # redis-py must not close it
    else:
        # The interpreter's own socket: gevent's would start and stop a watcher around each call.
        sock = RawSocket(fileno=connection._sock.detach())
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        # Once closed, the kernel must not deliver what is left: the counts are registered anew by then.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return sock


class LeaseProtocol:
    """Packs the commands of one worker. It knows the arguments of the scripts and holds no connection.

    Each registration begins a new generation, to which the batches packed after it belong. A batch that the
    network delivers only after a later registration is refused by the scripts.
    """

    def __init__(self, worker: WorkerId, keys: Keys, *, host: str, pid: int, started: float) -> None:
        own = {"worker_connections": keys.worker_connections(worker), "worker": keys.worker(worker)}
        self._generation = 0
        self._lease_prefix = self._prefix("lease", keys, own, [])
        self._register_prefix = self._prefix("register", keys, own, [worker, host, pid, f"{started:.3f}"])

    @staticmethod
    def _prefix(name: str, keys: Keys, own: dict[str, str], first: list[str | int]) -> tuple[int, bytes]:
        script = scripts.load(name)
        names = script.keys(keys, **own)
        words: list[str | int] = ["EVALSHA", script.sha, len(names), *names, *first]
        return len(words), b"".join(_bulk(word) for word in words)

    def lease(
        self, seed: int, releases: Releases, picks: int, exclusions: Collection[Collection[ServerId]]
    ) -> bytes:
        """Pack one batch for lease.lua."""
        usual: list[str | int] = []
        others: list[str | int] = []
        for server, outcome in releases.items():
            if outcome == _USUAL:
                usual.append(server)
            else:
                others.append(server)
                others += outcome
        words = [self._generation, len(usual), *usual, len(others) // 4, *others, picks, len(exclusions)]
        for excluded in exclusions:
            words.append(len(excluded))
            words += excluded
        digits = b"%d" % seed  # never the same twice, so it is kept out of the cache
        first = b"$%d\r\n%b\r\n" % (len(digits), digits)
        return self._pack(self._lease_prefix, words, first)

    def release(self, releases: Releases) -> bytes:
        """Pack a batch of releases alone, to which the store is asked to send no reply.

        A reply would wake the worker for nothing, which costs a lone request a quarter of its time. What it
        could have said, the reply to the next batch says as well.
        """
        return _NO_REPLY + self.lease(1, releases, 0, ())

    def register(self, held: Mapping[ServerId, int]) -> bytes:
        """Pack a registration for register.lua: requests in flight by server, as absolute numbers."""
        self._generation += 1
        words: list[str | int] = [self._generation]
        for server, count in held.items():
            if count:
                words += (server, count)
        return self._pack(self._register_prefix, words)

    @staticmethod
    def _pack(prefix: tuple[int, bytes], words: Iterable[str | int], *first: bytes) -> bytes:
        parts = [*first, *map(_bulk, words)]
        return b"*%d\r\n%b%b" % (prefix[0] + len(parts), prefix[1], b"".join(parts))


class LeaseWire:
    """A non-blocking connection: sends whole commands, and calls `on_reply` in the hub with each reply.

    `on_lost` gets the reason when the connection has broken; closing it is then the owner's part.
    """

    def __init__(
        self, sock: LeaseSocket, on_reply: Callable[[object], None], on_lost: Callable[[str], None]
    ) -> None:
        loop = get_hub().loop
        self._socket = sock
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._replies = hiredis.Reader(encoding="utf-8", errors="backslashreplace")
        self._unsent = b""
        self._closed = False
        self._writer = loop.io(sock.fileno(), _WRITE)
        self._reader = loop.io(sock.fileno(), _READ)
        self._reader.start(self._readable)

    def send(self, command: bytes) -> None:
        """Send a command; what the socket does not take now is sent as soon as it does. OSError if broken."""
        if self._unsent:
            self._unsent += command
            return
        try:
            sent = self._socket.send(command)
        except _WOULD_BLOCK:
            sent = 0
        if sent < len(command):
            self._unsent = command[sent:]
            self._writer.start(self._writable)

    def _writable(self) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self._on_lost(str(error))
            return
        if not self._unsent:
            self._writer.stop()

    def poll(self) -> None:
        """Read what has already arrived, without waiting for the event loop to report it."""
        self._readable()

    def _readable(self) -> None:
        self._receive()
        # The rest of a TLS record is buffered in the socket object, where no watcher sees it.
        while isinstance(self._socket, ssl.SSLSocket) and not self._closed and self._socket.pending():
            self._receive()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except _WOULD_BLOCK:
            return
        except OSError as error:
            self._on_lost(str(error))
            return
        if not data:
            self._on_lost("the store closed the connection")
            return
        self._replies.feed(data)
        try:
            while (reply := self._replies.gets()) is not False:
                self._on_reply(reply)
        except hiredis.ProtocolError as error:
            self._on_lost(f"not a store's answer: {error}")

    def close(self) -> None:
        """Close the connection; no callback is made after this."""
        self._reader.close()
        self._writer.close()
        self._socket.close()
        self._closed = True


def reply_error(reply: object) -> StoreError | None:
    """Return the error that the reply is; None if it is another reply."""
    return StoreError(str(reply)) if isinstance(reply, hiredis.ReplyError) else None
