"""The JSON of everything that operators see, in one form for the API and for `lb-admin … --json`.

PURE: it turns values into plain dictionaries. Names are in camelCase, times are unix seconds, and a figure
that does not exist (yet) is null. Later versions may add names, but do not change these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import TypeAlias

from lb.api.overview import Overview
from lb.api.rates import Rate, Rates
from lb.model import Check, Event, RemovedServer, Server, ServerStatus, WorkerStatus

Json: TypeAlias = Mapping[str, object]


def server(value: Server) -> Json:
    """Return what the pool holds of a server, and whether it is `eligible` by its two states."""
    return {**_json(value), "eligible": value.eligible}


def server_status(value: ServerStatus) -> Json:
    """Return a server with its live figures."""
    check = value.last_check
    return {
        **server(value.server),
        "connections": value.connections,
        "failures": value.failures,
        "lastCheck": None if check is None else {**_json(check), "at": value.last_check_at},
        "unansweredSince": value.unanswered_since,
    }


def removed_server(value: RemovedServer) -> Json:
    """Return a server that left the pool."""
    return _json(value)


def worker(value: WorkerStatus) -> Json:
    """Return a worker as its heartbeat describes it."""
    return _json(value)


def event(value: Event) -> Json:
    """Return one entry of the event stream."""
    return _json(value)


def rates(value: Rates) -> Json:
    """Return the rates of the last seconds, in total and by server."""
    return {
        "windowSeconds": round(value.window_seconds, 1),
        "total": _json(value.total),
        "servers": {server: _json(rate) for server, rate in value.servers.items()},
    }


def overview(value: Overview) -> Json:
    """Return the state of the balancer in a few figures."""
    return {
        "strategy": value.strategy,
        "version": value.version,
        "servers": {"total": len(value.servers), "eligible": value.eligible},
        "failOpen": value.fails_open,
        "connections": value.connections,
        "healthChecker": value.health_checker,
        "workers": [worker(item) for item in value.workers],
        "store": {"reachable": True},
    }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)


_Value: TypeAlias = Server | Check | RemovedServer | WorkerStatus | Event | Rate
_KINDS: tuple[type[_Value], ...] = (Server, Check, RemovedServer, WorkerStatus, Event, Rate)
_NAMES = {kind: [(field.name, _camel(field.name)) for field in fields(kind)] for kind in _KINDS}


def _json(value: _Value) -> Json:
    """Return all fields of a value, which `shapes` describes."""
    found = ((name, getattr(value, attribute)) for attribute, name in _NAMES[type(value)])
    return {name: field.value if isinstance(field, Enum) else field for name, field in found}
