"""`GET /openapi.json`: the description of the API in OpenAPI 3.1, made from the routes and from one table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flask import Blueprint, Flask, Response, current_app, jsonify
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

import lb
from lb.api.bodies import EventsQuery, NewServer, Nothing, ServerChange, StrategyChoice
from lb.api.shapes import SHAPES, Schema, many, named

routes = Blueprint("openapi", __name__)

_BODIES: tuple[type[BaseModel], ...] = (NewServer, ServerChange, Nothing, StrategyChoice)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WRITES = frozenset(_METHODS) - {"GET"}


@dataclass(frozen=True, slots=True)
class _Act:
    """What a route itself does not tell: what it takes and answers, and how it may refuse."""

    answer: Schema | None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    refusals: tuple[int, ...] = ()  # besides those of every read or write
    media: str = "application/json"
    versioned: bool = False  # whether the answer tells the pool's version


_STREAM = {"type": "string", "description": "Events: `access`, `pool`, `trouble`, `events`."}

_ACTS: Mapping[str, _Act] = {
    "servers.list_servers": _Act(many("ServerStatus"), versioned=True),
    "servers.add_server": _Act(named("Server"), 201, NewServer, refusals=(409,)),
    "servers.get_server": _Act(named("ServerStatus"), refusals=(400, 404), versioned=True),
    "servers.change_server": _Act(named("Server"), body=ServerChange, refusals=(404,)),
    "servers.remove_server": _Act(None, 204, refusals=(404,)),
    "servers.list_removed": _Act(many("RemovedServer"), versioned=True),
    "servers.restore_server": _Act(named("Server"), body=Nothing, refusals=(404,)),
    "strategy.get_strategy": _Act(named("Strategy"), versioned=True),
    "strategy.set_strategy": _Act(named("Strategy"), body=StrategyChoice, versioned=True),
    "state.status": _Act(named("Status"), versioned=True),
    "state.workers": _Act(many("Worker")),
    "state.events": _Act(many("Event"), query=EventsQuery, refusals=(400,)),
    "state.health": _Act(named("Health")),
    "metrics.metrics": _Act({"type": "string"}, media="text/plain"),
    "dashboard.live": _Act(_STREAM, media="text/event-stream"),
    "openapi.document": _Act({"type": "object"}),
}

#: Pages for people, which a description for programs leaves out.
_PAGES = frozenset({"dashboard.page", "dashboard.static"})

_REFUSALS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "The token, the Host or the Origin allows no such request.",
    404: "No such server.",
    409: "It contradicts the pool's state.",
    412: "The pool is not at the version of If-Match any more.",
    413: "The body is too large.",
    415: "A body must be declared as application/json.",
    500: "A fault of the balancer; its log has the details.",
    503: "The store does not answer, or too many streams are open.",
}
_READ_REFUSALS, _WRITE_REFUSALS = (401, 403, 500, 503), (400, 401, 403, 412, 413, 415, 500, 503)

_SERVER = {
    "name": "server",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "format": "server-id"},
    "description": "`host:port`, or `unix:/path`, whose slashes may be sent as they are.",
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "schema": {"type": "string"},
    "description": "The ETag of what you saw; the act is refused if the pool has changed since.",
}
_ETAG = {"schema": {"type": "string"}, "description": "The pool's version, for `If-Match`."}


@routes.get("/openapi.json")
def document() -> Response:
    """Answer this description."""
    return jsonify(_document(current_app))


def _document(app: Flask) -> Schema:
    paths: dict[str, dict[str, Schema]] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint not in _PAGES:
            operations = {method.lower(): _operation(app, rule, method) for method in _methods(rule)}
            paths.setdefault(rule.rule.replace("<path:", "{").replace(">", "}"), {}).update(operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lb admin API", "version": lb.__version__, "license": {"name": "MIT"}},
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {**SHAPES, **_body_schemas()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _methods(rule: Rule) -> Iterator[str]:
    return (method for method in _METHODS if method in (rule.methods or ()))


def _body_schemas() -> Mapping[str, Schema]:
    template = "#/components/schemas/{model}"
    _, found = models_json_schema([(body, "validation") for body in _BODIES], ref_template=template)
    schemas: Mapping[str, Schema] = found["$defs"]
    return schemas


def _operation(app: Flask, rule: Rule, method: str) -> Schema:
    act = _ACTS[rule.endpoint]
    parameters: list[Schema] = [_SERVER] if "server" in rule.arguments else []
    parameters += [_IF_MATCH] if method in _WRITES else []
    parameters += _query(act.query) if act.query else []
    operation: dict[str, object] = {
        "operationId": rule.endpoint.partition(".")[2],
        "summary": (app.view_functions[rule.endpoint].__doc__ or "").partition("\n")[0],
        "parameters": parameters,
        "responses": _responses(act, method),
    }
    if act.body:
        content = _json(named(act.body.__name__))
        operation["requestBody"] = {"required": act.body is not Nothing, "content": content}
    return operation


def _query(form: type[BaseModel]) -> Iterable[Schema]:
    for name, schema in form.model_json_schema()["properties"].items():
        about = schema.pop("description")
        plain = {key: value for key, value in schema.items() if (key, value) != ("default", "-")}
        yield {"name": name, "in": "query", "description": about, "schema": plain}


def _responses(act: _Act, method: str) -> Mapping[str, Schema]:
    common = _WRITE_REFUSALS if method in _WRITES else _READ_REFUSALS
    refusals: dict[str, Schema] = {
        str(status): {"description": _REFUSALS[status], "content": _json(named("Error"))}
        for status in sorted({*common, *act.refusals})
    }
    if act.answer is None:
        return {str(act.status): {"description": "Done."}, **refusals}
    done: Schema = {"description": "Done.", "content": {act.media: {"schema": act.answer}}}
    if act.versioned:
        done = {**done, "headers": {"ETag": _ETAG}}
    if act.answer == named("Health"):
        refusals["503"] = done  # an unhealthy API answers in the same form
    return {str(act.status): done, **refusals}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}
