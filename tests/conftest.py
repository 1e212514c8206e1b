"""Fixtures for all tests: one real store per session, a pool of its own for every test."""

from __future__ import annotations

import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from lb import config, limited_log
from lb.model import Server, Source
from lb.store.client import connect
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from tests.support import Valkey

pytest_plugins = ["tests.company"]

# A busy machine may stand still in the midst of any example: how long one takes says nothing.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # What a shell runs in the background is deaf to Ctrl-C, and the commands under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """One real store for the session; a test that kills its store makes a Valkey of its own."""
    data_dir = Path(tempfile.mkdtemp(prefix="lb-"))  # short: a socket's path must be
    try:
        with Valkey(data_dir) as store:
            yield store
    finally:
        shutil.rmtree(data_dir)


@pytest.fixture
def store_url(valkey: Valkey) -> str:
    return valkey.url


@pytest.fixture(autouse=True)
def _no_pool_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators' acts need not wait for workers to fill an empty store: there are none."""
    monkeypatch.setattr("lb.store.session.RETURN_SECONDS", 0)


@pytest.fixture(autouse=True)
def _each_line_is_the_first() -> None:
    """What one test had logged is held back in no other."""
    limited_log.forget()


@pytest.fixture
def keys() -> Keys:
    """Keys that no other test uses."""
    return Keys(prefix=f"t{secrets.token_hex(4)}")


@pytest.fixture
def connection(store_url: str) -> Iterator[redis.Redis]:
    with connect(store_url) as client:
        yield client


@pytest.fixture
def pool(connection: redis.Redis, keys: Keys) -> BackendPool:
    return BackendPool(connection, keys)


@pytest.fixture
def fleet(connection: redis.Redis, keys: Keys) -> Fleet:
    return Fleet(connection, keys)


@pytest.fixture
def add(pool: BackendPool) -> Callable[..., Server]:
    """Add a server to the test's pool by its URL."""

    def act(url: str = "http://localhost:5001", weight: int = 1) -> Server:
        return pool.add(config.parse_server_url(url, weight), Source.ADMIN, "test")

    return act
