"""The store behind TLS: redis-py's commands and the lease line's own reading of its socket."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from lb.errors import StoreUnavailableError
from lb.model import ServerId, WorkerId
from lb.store.client import connect
from lb.store.keys import Keys
from lb.store.lease_wire import LeaseProtocol, LeaseWire, dial
from lb.store.pool import BackendPool
from tests.proxy.rig import until
from tests.store.acts import spec
from tests.support import Valkey


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tls_url(valkey: Valkey, tmp_path: Path) -> Iterator[str]:
    """The store's URL behind something that ends TLS before it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                secure = context.wrap_socket(listener.accept()[0], server_side=True)
                plain = socket.socket(socket.AF_UNIX)
                plain.connect(str(valkey.data_dir / "store.sock"))
                ends.extend((secure, plain))
                for pair in ((secure, plain), (plain, secure)):
                    threads.append(threading.Thread(target=copy, args=pair))
                    threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept, args=(listener,)))
        threads[0].start()
        yield f"rediss://localhost:{listener.getsockname()[1]}/0?ssl_ca_certs={tmp_path}/ca.pem"
        listener.shutdown(socket.SHUT_RDWR)
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5)
    for end in ends:
        end.close()


def test_leases_are_picked_through_tls(tls_url: str, keys: Keys) -> None:
    """Replies larger than one TLS record are read to their end, though the descriptor tells only once."""
    servers = [ServerId(f"server-{number}.example:80") for number in range(10)]
    with connect(tls_url) as client:
        BackendPool(client, keys).reconcile([spec(server) for server in servers], "round-robin", "test")
        protocol = LeaseProtocol(WorkerId("w-1"), keys, host="here", pid=1, started=1.0)
        replies: list = []
        lost: list[str] = []
        wire = LeaseWire(dial(client), replies.append, lost.append)
        wire.send(protocol.register({}))
        until(lambda: replies == [1])
        wire.send(protocol.lease(1, {}, 5000, ()))
        until(lambda: len(replies) == 2)
        wire.close()
    assert lost == []
    version, failed, *picked = replies[1]
    assert (version, failed) == (1, [])
    assert [picked.count(server) for server in servers] == [500] * 10


def test_an_authority_that_is_not_trusted_is_refused(tls_url: str, keys: Keys) -> None:
    with connect(tls_url.partition("?")[0]) as client, pytest.raises(StoreUnavailableError) as caught:
        BackendPool(client, keys).ping()
    assert "certificate" in str(caught.value).lower()
