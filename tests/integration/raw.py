"""A server on the loopback interface whose connections are scripts: for what no well-behaved server does.

with RawServer(lambda connection: ...) as server: ...      # called in a thread for each connection
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

#: Plays the server's side of one connection, which is closed when it returns.
Script = Callable[["Connection"], None]

PATIENCE_SECONDS = 20.0


class Connection:
    """The server's side of a connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._stream = sock.makefile("rb")

    def read_head(self) -> bytes:
        """Read a request's head; empty if the connection ends."""
        lines = []
        while (line := self._stream.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join(lines)

    def read(self, size: int) -> bytes:
        """Read so many bytes, fewer only at the end of the connection."""
        return self._stream.read(size)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait_end(self) -> bool:
        """Wait until the balancer closes; False if it sends something instead."""
        with suppress(ConnectionResetError):
            return self._stream.read(1) == b""
        return True


class Acceptor:
    """Gives each connection to `serve`, in a thread of its own, from entry to exit; closes it after that."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def serve(self, sock: socket.socket) -> None:
        """Speak with one client; OSError if it left."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE_SECONDS)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            self.serve(sock)


class RawServer(Acceptor):
    """Plays the script on each connection."""

    def __init__(self, script: Script) -> None:
        super().__init__()
        self._script = script

    def serve(self, sock: socket.socket) -> None:
        """Play it on this one."""
        self._script(Connection(sock))
