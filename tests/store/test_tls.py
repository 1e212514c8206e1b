"""The store behind TLS: redis-py's commands and the lease line's own reading of its socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lb.errors import StoreUnavailableError
from lb.model import ServerId, WorkerId
from lb.store.client import connect
from lb.store.keys import Keys
from lb.store.lease_wire import LeaseProtocol, LeaseWire, dial
from lb.store.pool import BackendPool
from tests.proxy.rig import until
from tests.store.acts import spec
from tests.support import Valkey
from tests.tls_front import TlsFront


@pytest.fixture
def front(valkey: Valkey, tmp_path: Path) -> Iterator[TlsFront]:
    """Ends TLS before the store; lets in only who has a certificate."""

    def dial() -> socket.socket:
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(str(valkey.data_dir / "store.sock"))
        return plain

    with TlsFront(dial, tmp_path) as front:
        yield front


@pytest.fixture
def tls_url(front: TlsFront) -> str:
    return f"rediss://localhost:{front.port}/0?{front.options_with_client}"


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


def test_a_client_needs_the_certificate_that_its_url_names(
    front: TlsFront, tls_url: str, keys: Keys, tmp_path: Path
) -> None:
    for url in (
        f"rediss://localhost:{front.port}?{front.options}",
        tls_url.replace("client.pem", "stranger.pem"),
    ):
        with connect(url) as client, pytest.raises(StoreUnavailableError):
            BackendPool(client, keys).ping()
    with connect(tls_url) as client:
        BackendPool(client, keys).ping()


def test_another_name_than_that_of_the_certificate_is_refused(front: TlsFront, keys: Keys) -> None:
    url = f"rediss://127.0.0.1:{front.port}?{front.options_with_client}"
    with connect(url) as client, pytest.raises(StoreUnavailableError, match="IP address mismatch"):
        BackendPool(client, keys).ping()
    with connect(f"{url}&ssl_check_hostname=false") as client:
        BackendPool(client, keys).ping()
