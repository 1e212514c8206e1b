"""Very many small requests: a server in a process of its own, and clients that only count what they get."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_SERVER = r"""
import contextlib, socket, threading
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
def serve(peer):
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    with contextlib.suppress(ConnectionError):
        while more := peer.recv(65536):
            data += more
            while b"\r\n\r\n" in data:
                data = data.partition(b"\r\n\r\n")[2]
                peer.sendall(OK)
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)
_SECONDS = 30.0


@contextmanager
def server() -> Iterator[str]:
    """Run a server that answers every GET with 200, and give its URL."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


class Clients:
    """Connections that send so many requests in all, one after the other, and count what comes back."""

    def __init__(self, url: str, total: int, connections: int = 16) -> None:
        place = urlsplit(url)
        self._address = (place.hostname, place.port)
        self._request = f"GET / HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
        self._left = iter(range(total))  # `next` of it needs no lock
        self.statuses: Counter[int] = Counter()  # of responses that were received to the end
        self.broken = 0  # requests that got no such response
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(connections)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(10 * _SECONDS)
            assert not thread.is_alive(), "a client hangs"

    @property
    def done(self) -> int:
        """How many requests have ended so far."""
        return sum(self.statuses.values()) + self.broken

    def _run(self) -> None:
        while self._connection():
            pass

    def _connection(self) -> bool:
        """Send requests on one connection until it ends; False if there are none left."""
        with socket.create_connection(self._address, _SECONDS) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in self._left:
                response = b""
                with suppress(ConnectionError):
                    sock.sendall(self._request)
                    response = _receive(sock)
                with self._lock:
                    if response:
                        self.statuses[int(response[9:12])] += 1
                    else:
                        self.broken += 1
                if not response or b"Connection: close" in response:
                    return True
        return False


def _receive(sock: socket.socket) -> bytes:
    """Return a whole response, or nothing if the connection ended within it."""
    data = b""
    while more := sock.recv(65536):
        data += more
        head, end, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if end and length and len(body) >= int(length[1]):
            return data
    return b""
