"""A worker is a member of the fleet that accepts clients; how it ends, tests/integration shows."""

from __future__ import annotations

import socket
from http.client import HTTPConnection

import gevent
import pytest

from lb.config import Config
from lb.errors import StoreError
from lb.processes.worker import Worker
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.proxy.rig import until


def settings(keys: Keys, url: str) -> Config:
    return Config.model_validate({"redis": url, "keyPrefix": keys.prefix})


def test_a_worker_joins_serves_and_leaves(
    pool: BackendPool, fleet: Fleet, keys: Keys, store_url: str
) -> None:
    pool.reconcile([], "round-robin", "test")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        worker = Worker(settings(keys, store_url), listener)
        worker.start()
        until(lambda: [known.id for known in fleet.workers()] == [worker.member.id])
        assert gevent.get_hub().threadpool.apply(_status, (port,)) == 503
        worker.finish()
    assert fleet.workers() == []


def test_a_worker_without_supervisor_needs_the_store(keys: Keys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = Worker(settings(keys, "redis://127.0.0.1:1"), listener)
        with pytest.raises(StoreError):
            worker.start()
        worker.finish()


def _status(port: int) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()
