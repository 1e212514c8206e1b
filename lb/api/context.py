"""What the views of an app work on, and for whom."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, request

from lb.api.access import Access
from lb.api.counted import Counted
from lb.api.live import Live
from lb.store.fleet import Fleet
from lb.store.pool import BackendPool

EXTENSION = "lb"  # where `create_app` puts the context in Flask's own registry


@dataclass(frozen=True, slots=True)
class Context:
    """The open store of an app, who may use it, and its streams."""

    pool: BackendPool
    fleet: Fleet
    access: Access
    counted: Counted
    live: Live


def context() -> Context:
    """Return the context of the app that serves this request."""
    found: Context = current_app.extensions[EXTENSION]
    return found


def pool() -> BackendPool:
    """Return the pool of the app that serves this request."""
    return context().pool


def who() -> str:
    """Return what events call the client of this request."""
    return f"api ({request.remote_addr})"
