"""A loopback server that does to each connection what the test says, and remembers what it was sent."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from lb.model import Admin, Health, Server, ServerId, Source

#: What is done to a connection, or what is done to it for each method.
Script = Callable[[socket.socket], None] | Mapping[str, Callable[[socket.socket], None]]


class ScriptedServer:
    """Answers one connection at a time with `script`, which may be exchanged at any moment."""

    def __init__(self, script: Script, listener: socket.socket | None = None) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self._listener.listen()
        name = self._listener.getsockname()
        self.id = ServerId(f"unix:{name}" if isinstance(name, str) else f"127.0.0.1:{name[1]}")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def server(self) -> Server:
        return server(self.id)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, suppress(OSError):
                self.requests.append(_request(client))
                script = self.script
                if isinstance(script, Mapping):
                    script = script[self.requests[-1].partition(b" ")[0].decode()]
                script(client)


def _request(client: socket.socket) -> bytes:
    """Read a whole request: who closes before that resets the connection, and its answer may be lost."""
    data = b""
    while not _is_whole(data) and (more := client.recv(65536)):
        data += more
    return data


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


@contextmanager
def scripted(script: Script, listener: socket.socket | None = None) -> Iterator[ScriptedServer]:
    running = ScriptedServer(script, listener)
    try:
        yield running
    finally:
        running.close()


def answer(text: str) -> Script:
    return lambda client: client.sendall(text.replace("\n", "\r\n").encode())


def server(name: str) -> Server:
    url = name if name.startswith("unix:") else f"http://{name}"
    return Server(ServerId(name), url, 1, Admin.READY, Health.UP, Source.CONFIG, "", 0.0)


@contextmanager
def full_queue() -> Iterator[int]:
    """A port that leaves connections unanswered: as many wait already as it lets wait to be accepted."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield port


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]
