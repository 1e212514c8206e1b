"""The JSON schemas of the API's answers, which `serialise` makes. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from lb.model import MAX_WEIGHT, Admin, Health, Source
from lb.strategies import STRATEGIES

Schema: TypeAlias = Mapping[str, object]

_FOLDER = "#/components/schemas/"


def named(name: str) -> Schema:
    """Refer to one of `SHAPES`."""
    return {"$ref": _FOLDER + name}


def many(name: str) -> Schema:
    """Describe a list of one of `SHAPES`."""
    return {"type": "array", "items": named(name)}


def _of(kind: str, meaning: str = "", **more: object) -> Schema:
    return {"type": kind, **({"description": meaning} if meaning else {}), **more}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": [*properties]}


_TEXT = _of("string")
_COUNT = _of("integer", minimum=0)
_TIME = _of("number", "Unix seconds.")
_ID = _of("string", "`host:port`, or `unix:/path`.")
_WEIGHT = _of("integer", minimum=1, maximum=MAX_WEIGHT)
_SOURCE = _of("string", "Who brought it into the pool.", enum=[*Source])
_IN_FLIGHT = _of("integer", "Requests in flight.", minimum=0)
_STORE = _object(reachable=_of("boolean"))

_SERVER = {
    "id": _ID,
    "url": _TEXT,
    "weight": _WEIGHT,
    "admin": _of("string", "What the operator wants of it.", enum=[*Admin]),
    "health": _of("string", "What is observed of it.", enum=[*Health]),
    "eligible": _of(
        "boolean", "Whether it is ready and up. While `failOpen`, all that are ready are picked."
    ),
    "reason": _of("string", "Why it is down; empty while up."),
    "since": _of("number", "Unix seconds of the last change of `admin` or `health`."),
    "source": _SOURCE,
}

#: Name → schema. Later versions may add properties, but do not rename any.
SHAPES: Mapping[str, Schema] = {
    "Error": _object(
        error=_of("string", "What is wrong, and what was expected."),
        status=_of("integer", "The HTTP status, again."),
    ),
    "Server": _object(**_SERVER),
    "ServerStatus": _object(
        **_SERVER,
        connections=_IN_FLIGHT,
        failures=_of("integer", "Failed requests in a row, all workers together.", minimum=0),
        lastCheck=_or_null(named("Check")),
        unansweredSince=_or_null(_of("number", "Unix seconds of the first of the unanswered checks.")),
    ),
    "Check": _object(
        passed=_of("boolean"),
        answered=_of("boolean", "Whether there was any HTTP response."),
        detail=_of("string", "Such as `200 OK` or `connection refused`."),
        durationSeconds=_of("number", minimum=0),
        at=_or_null(_TIME),
    ),
    "RemovedServer": _object(
        id=_ID,
        url=_TEXT,
        weight=_WEIGHT,
        source=_SOURCE,
        reason=_TEXT,
        at=_TIME,
        returns=_of("boolean", "Whether it is still checked, and comes back by itself."),
    ),
    "Worker": _object(
        id=_TEXT,
        host=_TEXT,
        pid=_COUNT,
        started=_TIME,
        heartbeat=_of("number", "Unix seconds of the last one."),
        version=_of("integer", "The pool's version that it knows.", minimum=0),
        connections=_IN_FLIGHT,
        degradedSince=_or_null(_of("number", "Unix seconds when it last began to pick without the store.")),
        degradedUntil=_or_null(_of("number", "Unix seconds when that ended; null while it lasts.")),
    ),
    "Event": _object(
        id=_of("string", "The position in the stream, for `after`."),
        at=_TIME,
        kind=_of("string", "Such as `added`, `down` or `drain`."),
        server=_of("string", "Empty if the event concerns the whole pool."),
        by=_of("string", "Who did it: an operator, the health-checker, a worker."),
        detail=_TEXT,
    ),
    "Status": _object(
        strategy=_of("string", "Empty while the store holds no pool."),
        version=_of("integer", "The pool's version, which grows with each change.", minimum=0),
        servers=_object(total=_COUNT, eligible=_COUNT),
        failOpen=_of("boolean", "Whether requests go to all that are ready, as none of them is up."),
        connections=_IN_FLIGHT,
        healthChecker=_or_null(_of("string", "Who leads; null while nobody checks.")),
        workers=many("Worker"),
        store=_STORE,
        rates=named("Rates"),
    ),
    "Rates": _object(
        windowSeconds=_of("number", "The time that the rates cover: about 10, less at first.", minimum=0),
        total=named("Rate"),
        servers=_of("object", "By server id.", additionalProperties=named("Rate")),
    ),
    "Rate": _object(
        requestsPerSecond=_of("number", minimum=0),
        p50Seconds=_or_null(_of("number", "Half of the responses took less.", minimum=0)),
        p99Seconds=_or_null(_of("number", "One response of a hundred took more.", minimum=0)),
        errorRatio=_or_null(_of("number", "Share of 5xx and of broken responses.", minimum=0, maximum=1)),
    ),
    "Strategy": _object(
        strategy=_of("string", "The strategy in use; empty while the store holds no pool."),
        known=_of("array", items=_of("string", enum=[*STRATEGIES])),
    ),
    "Health": _object(healthy=_of("boolean"), store=_STORE),
}
