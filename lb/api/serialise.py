"""The JSON of everything that operators see: one shape for the API and for `lb-admin … --json`.

PURE: values in, plain dictionaries out. Names are camelCase; times are unix seconds; a figure that does not
exist (yet) is null. Names stay as they are: later versions add, they do not rename.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from lb.api.overview import Overview
from lb.api.rates import Rate, Rates
from lb.model import Event, RemovedServer, Server, ServerStatus, WorkerStatus

Json: TypeAlias = Mapping[str, object]


def server(value: Server) -> Json:
    """Return what the pool keeps of a server: its two states, `eligible` if both allow a pick."""
    return {
        "id": value.id,
        "url": value.url,
        "weight": value.weight,
        "admin": value.admin.value,
        "health": value.health.value,
        "eligible": value.eligible,
        "reason": value.reason,
        "since": value.since,
        "source": value.source.value,
    }


def server_status(value: ServerStatus) -> Json:
    """Return a server with its live figures."""
    return {
        **server(value.server),
        "connections": value.connections,
        "failures": value.failures,
        "lastCheck": _check(value),
        "unansweredSince": value.unanswered_since,
    }


def _check(value: ServerStatus) -> Json | None:
    check = value.last_check
    if check is None:
        return None
    return {
        "passed": check.passed,
        "answered": check.answered,
        "detail": check.detail,
        "durationSeconds": check.duration_seconds,
        "at": value.last_check_at,
    }


def removed_server(value: RemovedServer) -> Json:
    """Return a server that left the pool."""
    return {
        "id": value.id,
        "url": value.url,
        "weight": value.weight,
        "source": value.source.value,
        "reason": value.reason,
        "at": value.at,
    }


def worker(value: WorkerStatus) -> Json:
    """Return a worker as its heartbeat describes it."""
    return {
        "id": value.id,
        "host": value.host,
        "pid": value.pid,
        "started": value.started,
        "heartbeat": value.heartbeat,
        "version": value.version,
        "connections": value.connections,
        "degradedSince": value.degraded_since,
        "degradedUntil": value.degraded_until,
    }


def event(value: Event) -> Json:
    """Return one entry of the event stream."""
    return {
        "id": value.id,
        "at": value.at,
        "kind": value.kind,
        "server": value.server,
        "by": value.by,
        "detail": value.detail,
    }


def rates(value: Rates) -> Json:
    """Return what came to pass in the last seconds, in sum and by server."""
    return {
        "windowSeconds": round(value.window_seconds, 1),
        "total": _rate(value.total),
        "servers": {server: _rate(rate) for server, rate in value.servers.items()},
    }


def _rate(value: Rate) -> Json:
    return {
        "requestsPerSecond": value.requests_per_second,
        "p50Seconds": value.p50_seconds,
        "p99Seconds": value.p99_seconds,
        "errorRatio": value.error_ratio,
    }


def overview(value: Overview) -> Json:
    """Return the whole balancer in a few figures."""
    return {
        "strategy": value.strategy,
        "version": value.version,
        "servers": {"total": len(value.servers), "eligible": value.eligible},
        "connections": value.connections,
        "healthChecker": value.health_checker,
        "workers": [worker(item) for item in value.workers],
        "store": {"reachable": True},
    }
