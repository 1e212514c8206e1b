"""The API on the test's own pool, and its client."""

from __future__ import annotations

import pytest
import redis
from flask.testing import FlaskClient

from lb.api.access import Access
from lb.api.app import create_app
from lb.api.counted import Counted
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.metrics import Metrics
from lb.store.pool import BackendPool


@pytest.fixture
def counted(connection: redis.Redis, keys: Keys) -> Counted:
    return Counted(Metrics(connection, keys))


@pytest.fixture
def client(pool: BackendPool, fleet: Fleet, counted: Counted) -> FlaskClient:
    return create_app(pool, fleet, Access(), counted).test_client()
