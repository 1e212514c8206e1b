"""The API on the test's own pool, and its client."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from lb import config
from lb.api.access import Access
from lb.api.app import create_app
from lb.model import Server, Source
from lb.store.fleet import Fleet
from lb.store.pool import BackendPool


@pytest.fixture
def client(pool: BackendPool, fleet: Fleet) -> FlaskClient:
    return create_app(pool, fleet, Access()).test_client()


@pytest.fixture
def add(pool: BackendPool) -> Callable[..., Server]:
    """Add a server to the test's pool by its URL."""

    def act(url: str = "http://localhost:5001", weight: int = 1) -> Server:
        return pool.add(config.parse_server_url(url, weight), Source.ADMIN, "test")

    return act
