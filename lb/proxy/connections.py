"""Connections to the servers: made, kept alive, taken again last in first out."""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from _socket import socket as RawSocket  # noqa: N812 (unpatched, and a class to us)
from collections.abc import Callable
from functools import partial

from lb.errors import ExhaustedError, LBError, ServerConnectError, ServerConnectTimeoutError
from lb.model import ServerId
from lb.proxy.addresses import Address, Addresses
from lb.proxy.deadlines import Deadlines
from lb.proxy.stream import Stream, StreamTimeoutError

#: Errors of connect(2) and socket(2) that say nothing of the server.
OUR_OWN = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)


#: Those of them that another connection's end mends.
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})


class ServerConnections:
    """The connections of one worker to one server."""

    def __init__(  # noqa: PLR0913 - a server, and what is set for all
        self,
        server: ServerId,
        deadlines: Deadlines,
        *,
        header: bytes = b"X-Forwarded-Server",
        connect_seconds: float,
        idle_seconds: float,
        max_idle: int,
        before: Callable[[], object] = bool,
        spare: Callable[[], bool] = bool,
        addresses: Addresses | None = None,
    ) -> None:
        """`before` is called before each new connection; `spare` closes an idle one, to any server.

        `addresses` are those of the server, if somebody else keeps them.
        """
        self.server = server
        #: Marks each response with where it came from, if there is a header for that; ends the head.
        self.signature = b"\r\n%b: %b\r\n\r\n" % (header, url_of(server).encode()) if header else b"\r\n\r\n"
        #: What a request that names no host asks for, as HTTP/1.0 allows.
        self.host = b"localhost" if server.startswith("unix:") else server.encode()
        self._deadlines = deadlines
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._max_idle = max_idle
        self._before = before
        self._spare = spare
        self._idle: list[Stream] = []
        self._addresses = addresses or Addresses(server)

    def take(self) -> Stream | None:
        """Return the kept connection that was used last, or None."""
        if not self._idle:
            return None
        stream = self._idle.pop()
        stream.parked = False
        return stream

    def keep(self, stream: Stream) -> None:
        """Park a connection for the next request."""
        if len(self._idle) >= self._max_idle or stream.buffer:
            stream.close()
            return
        stream.parked = True
        stream.watch()
        stream.arm(self._idle_seconds)
        self._idle.append(stream)

    @property
    def idle_since(self) -> float:
        """When its connection that is idle for the longest became so, by a clock of its own."""
        return self._idle[0].deadline if self._idle else math.inf

    def close_oldest(self) -> bool:
        """Close that connection; False if none is idle."""
        if self._idle:
            self._idle.pop(0).close()
            return True
        return False

    def connect(self, tell: Callable[[Stream], object] = bool) -> Stream:
        """Make a new connection, trying each address; if none works, ServerConnectError or ExhaustedError.

        All addresses together take no longer than one time-out: each gets an equal share of what is left of
        it. `tell` is called with each stream before its connection is waited for; closing it ends the wait.
        """
        failure: LBError | None = None
        deadline = time.monotonic() + self._connect_seconds
        addresses = self._addresses.in_order(self._connect_seconds)
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                stream = self._connect(address, max(0.0, deadline - time.monotonic()) / left, tell)
            except StreamTimeoutError:
                failure = ServerConnectTimeoutError(
                    f"{self.server}: no connection in {self._connect_seconds:g} s"
                )
            except ConnectionAbortedError as error:  # by `tell`: no address is to blame
                raise ServerConnectError(f"{self.server}: {error}") from None
            except OSError as error:
                kind = ExhaustedError if error.errno in OUR_OWN else ServerConnectError
                failure = kind(f"{self.server}: {error.strerror or error}")
            else:
                self._addresses.worked(address)
                return stream
            self._addresses.failed(address)
        assert failure is not None  # noqa: S101 (there is at least one address)
        raise failure

    def _connect(self, address: Address, seconds: float, tell: Callable[[Stream], object]) -> Stream:
        family, place = address
        sock = self._socket(family)
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = Stream(sock, self._deadlines)
        try:
            code = sock.connect_ex(place)
            if code == errno.EINPROGRESS:
                stream.patience_seconds = seconds
                tell(stream)
                stream.wait_writable()
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))  # noqa: TRY301 (as connect would)
        except BaseException:
            stream.close()
            raise
        stream.on_parked_readable = partial(self._parked_ended, stream)
        return stream

    def _socket(self, family: int) -> RawSocket:
        """Make a socket; if there is no descriptor left, with that of an idle connection."""
        self._before()
        while True:
            try:
                return RawSocket(family, socket.SOCK_STREAM)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or not self._spare():
                    raise

    def _parked_ended(self, stream: Stream) -> None:
        """Drop a parked connection: the server closed it, spoke out of turn, or it was idle for too long."""
        if stream in self._idle:
            self._idle.remove(stream)
        stream.close()

    def close(self) -> None:
        """Close the parked connections; those in use go on."""
        self._max_idle = 0
        while self._idle:
            self._idle.pop().close()


def url_of(server: ServerId) -> str:
    """Return what clients are told of where a response came from."""
    return server if server.startswith("unix:") else f"http://{server}"
