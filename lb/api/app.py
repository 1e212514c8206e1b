"""The WSGI app: its routes, and the one place where an exception becomes an answer. Every error is JSON."""

from __future__ import annotations

from flask import Flask, Response, current_app, jsonify, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from lb.api import dashboard, metrics, openapi, servers, state, strategy
from lb.api.access import Access
from lb.api.bodies import MAX_BODY_BYTES, READ_LIMIT_BYTES
from lb.api.context import EXTENSION, Context
from lb.api.counted import Counted
from lb.api.live import Live
from lb.errors import LBError
from lb.limited_log import LimitedLog
from lb.store.fleet import Fleet
from lb.store.pool import BackendPool

_limited = LimitedLog(__name__)

#: On every answer: it is not cached, its type is not guessed, no other page frames it or is told the address,
#: and it loads nothing from other sites.
_HARDENING = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def create_app(pool: BackendPool, fleet: Fleet, access: Access, counted: Counted) -> Flask:
    """Make the API over an open store. `access` says who may use it, `counted` what the fleet has counted."""
    app = Flask("lb.api", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = READ_LIMIT_BYTES
    app.json = DefaultJSONProvider(app)
    app.json.sort_keys = False
    app.url_map.merge_slashes = False  # an unknown path is a 404, not a redirect
    app.extensions[EXTENSION] = Context(pool, fleet, access, counted, Live(pool, fleet, counted))
    for part in (servers, strategy, state, metrics, dashboard, openapi):
        app.register_blueprint(part.routes)
    app.before_request(lambda: access.check(request))
    app.after_request(_harden)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(NotFound, _unknown_path)
    app.register_error_handler(LBError, _lb_error)
    app.register_error_handler(Exception, _unexpected)
    return app


def _harden(response: Response) -> Response:
    response.headers.update(_HARDENING)
    return response


def _error(message: str, status: int) -> Response:
    response = jsonify(error=message, status=status)
    response.status_code = status
    return response


def _lb_error(error: LBError) -> Response:
    return _error(str(error), error.status)


def _http_error(error: HTTPException) -> Response:
    """Answer what Flask itself refuses (404, 405, 413 …), and keep its headers, such as Allow."""
    response = _error(_said_of(error), error.code or 500)
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _said_of(error: HTTPException) -> str:
    match error:
        case MethodNotAllowed(valid_methods=[*methods]):
            return f"no {request.method} at {request.path!r}; there are {', '.join(sorted(methods))}"
        case RequestEntityTooLarge():
            return f"the body has more than {MAX_BODY_BYTES} bytes"
    return error.description or error.name


def _unknown_path(_: NotFound) -> Response:
    tops = {"/" + rule.rule.split("/")[1] for rule in current_app.url_map.iter_rules()}
    return _error(f"there is nothing at {request.path!r}; the API has {', '.join(sorted(tops))}", 404)


def _unexpected(_: Exception) -> Response:
    _limited.exception("%s %s failed", request.method, request.path)
    return _error("internal error; the log of the API process has the details", 500)
