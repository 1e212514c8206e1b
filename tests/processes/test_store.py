from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from lb.config import Config, load
from lb.errors import StoreUnavailableError
from lb.processes import store
from tests.support import Valkey


@pytest.fixture
def nowhere() -> Iterator[str]:
    """URL of a store that refuses connections."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{unheard.getsockname()[1]}"


def config_of(url: str, *servers: str) -> Config:
    return load(None, {"LB_KEY_PREFIX": f"t{time.monotonic_ns()}"}, {"redis": url, "servers": servers})


def test_the_configured_servers_are_in_the_pool_after_reconcile(valkey: Valkey) -> None:
    config = config_of(valkey.url, "http://a:1", "http://b:2")
    store.reconcile(config)
    assert [status.server.id for status in store.pool_of(config).list()] == ["a:1", "b:2"]


def test_it_waits_for_a_store_only_so_long(nowhere: str) -> None:
    before = time.monotonic()
    with pytest.raises(StoreUnavailableError):
        store.wait(config_of(nowhere), patience_seconds=0.3)
    assert 0.3 <= time.monotonic() - before < 3


def test_a_given_store_is_waited_for_less_than_the_embedded_one(nowhere: str) -> None:
    assert store.start_patience_seconds(config_of(nowhere)) < store.start_patience_seconds(load(None, {}, {}))
