"""The routes of the servers in the pool and of the removed ones. Ids may contain slashes (`unix:/path`)."""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, Response, jsonify, request

from lb import config
from lb.api import serialise
from lb.api.bodies import NewServer, Nothing, ServerChange, read_body
from lb.api.conditional import pool_as_seen, versioned
from lb.api.context import pool, who
from lb.errors import UnknownServerError, UsageError
from lb.model import Source

routes = Blueprint("servers", __name__)


@routes.get("/servers")
@versioned
def list_servers() -> Response:
    """Answer all servers in pool order, with live figures."""
    return jsonify([serialise.server_status(status) for status in pool().list()])


@routes.post("/servers")
def add_server() -> tuple[Response, int, dict[str, str]]:
    """Add a server; every later pick may choose it."""
    body = read_body(request, NewServer)
    server = pool_as_seen().add(config.parse_server_url(body.url, body.weight), Source.ADMIN, who())
    return jsonify(serialise.server(server)), 201, {"Location": f"/servers/{quote(server.id, safe='/:[]')}"}


@routes.get("/servers/<path:server>")
@versioned
def get_server(server: str) -> Response:
    """Answer one server with live figures."""
    wanted = config.normalise_server_id(server)
    for status in pool().list():
        if status.server.id == wanted:
            return jsonify(serialise.server_status(status))
    raise UnknownServerError(f"no server {wanted!r} in the pool; GET /servers lists them")


@routes.patch("/servers/<path:server>")
def change_server(server: str) -> Response:
    """Change the admin state of a server, or its weight, or both."""
    wanted = config.normalise_server_id(server)
    body = read_body(request, ServerChange)
    changed, members = None, pool_as_seen()
    if body.weight is not None:
        changed, members = members.set_weight(wanted, body.weight, who()), pool()
    if body.admin is not None:
        changed = members.set_admin(wanted, body.admin, who())
    if changed is None:
        raise UsageError("nothing to change; give 'admin' (ready, drain or maint), 'weight', or both")
    return jsonify(serialise.server(changed))


@routes.delete("/servers/<path:server>")
def remove_server(server: str) -> tuple[str, int]:
    """Take a server out of the pool; no later pick chooses it. One removed for silence comes back no more."""
    pool_as_seen().remove(config.normalise_server_id(server), who())
    return "", 204


@routes.get("/removed")
@versioned
def list_removed() -> Response:
    """Answer the servers that have left the pool and can be restored."""
    return jsonify([serialise.removed_server(gone) for gone in pool().removed()])


@routes.post("/removed/<path:server>/restore")
def restore_server(server: str) -> Response:
    """Bring a removed server back with its URL, weight and source."""
    read_body(request, Nothing, absent=b"{}")
    return jsonify(serialise.server(pool_as_seen().restore(config.normalise_server_id(server), who())))
