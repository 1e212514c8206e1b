"""The dashboard: its files, which hold nothing of the pool, and the stream that they show."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from lb.api.context import context

routes = Blueprint("dashboard", __name__)

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGE = "dashboard.html"
_FILES = {
    file.name: file.read_bytes()
    for file in files("lb.api").joinpath("static").iterdir()
    if file.name.rpartition(".")[2] in _TYPES
}


@routes.get("/")
def page() -> Response:
    """Answer the dashboard's page."""
    return _file(_PAGE)


@routes.get("/static/<name>")
def static(name: str) -> Response:
    """Answer one of the dashboard's files."""
    if name not in _FILES:
        raise NotFound
    return _file(name)


@routes.get("/live")
def live() -> Response:
    """Answer the state of the balancer each second, as server-sent events, until the client leaves."""
    app = context()
    app.live.enter()
    messages = app.live.stream(may_write=app.access.may_write(request))
    response = Response(messages, mimetype="text/event-stream")
    response.call_on_close(app.live.leave)
    response.headers["X-Accel-Buffering"] = "no"  # or nginx in front of the API would hold the stream back
    return response


def _file(name: str) -> Response:
    return Response(_FILES[name], mimetype=_TYPES[name.rpartition(".")[2]])
