"""Something that ends TLS before a server that speaks none."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import trustme


class TlsFront:
    """Listens on localhost with a certificate, from entry to exit, and passes on to what `dial` connects to.

    Clients must show a certificate of the same authority. Its files are `directory`/ca.pem, client.pem (with
    the key) and, for a stranger, stranger.pem. Several fronts may have one authority, and so one directory.
    """

    def __init__(
        self, dial: Callable[[], socket.socket], directory: Path, authority: trustme.CA | None = None
    ) -> None:
        self._dial = dial
        authority = authority or trustme.CA()
        authority.cert_pem.write_to_path(directory / "ca.pem")
        for name, signer in (("client", authority), ("stranger", trustme.CA())):
            signer.issue_cert(f"{name}@example.com").private_key_and_cert_chain_pem.write_to_path(
                directory / f"{name}.pem"
            )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.verify_mode = ssl.CERT_REQUIRED
        authority.issue_cert("localhost").configure_cert(self._context)
        authority.configure_trust(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.options = f"ssl_ca_certs={directory}/ca.pem"
        self.options_with_client = (
            f"{self.options}&ssl_certfile={directory}/client.pem&ssl_keyfile={directory}/client.pem"
        )
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> TlsFront:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(5)
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for end in (self._listener, *self._ends):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._start(self._serve, self._keep(self._listener.accept()[0]))

    def _serve(self, raw: socket.socket) -> None:
        try:
            secure = self._keep(self._context.wrap_socket(raw, server_side=True))
        except OSError:  # a client that is not let in
            raw.close()
            return
        try:
            plain = self._keep(self._dial())
        except OSError:  # the server is away
            secure.close()
            return
        self._start(_copy, secure, plain)
        _copy(plain, secure)

    def _keep(self, end: socket.socket) -> socket.socket:
        self._ends.append(end)
        return end

    def _start(self, act: Callable[..., None], *ends: socket.socket) -> None:
        self._threads.append(threading.Thread(target=act, args=ends))
        self._threads[-1].start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
