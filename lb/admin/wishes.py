"""What `drain`, `undrain` and `maint` share: they set what the operator wants of servers."""

from __future__ import annotations

from collections.abc import Sequence

from lb.admin.operators import Operator
from lb.model import Admin, Server, ServerId

_SAID = {
    Admin.READY: "ready for requests",
    Admin.DRAIN: "drains, it gets no new requests",
    Admin.MAINT: "in maintenance, it gets no new requests and no health checks",
}


def set_wish(operator: Operator, servers: Sequence[ServerId], admin: Admin) -> list[Server]:
    """Set it for each server and tell so; return those that were not refused."""
    changed = []
    for server in operator.each(servers, lambda one: operator.pool.set_admin(one, admin, operator.by)):
        operator.say(f"{server.id} {_SAID[admin]}{_but(server)}")
        changed.append(server)
    if changed and admin is not Admin.READY:
        operator.warn_if_none_eligible()
    return changed


def _but(server: Server) -> str:
    """Say what keeps a server from requests although it is ready."""
    return f", but it is down: {server.reason}" if server.admin is Admin.READY and not server.eligible else ""
