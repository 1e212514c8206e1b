"""Request targets that are not a path, and methods that are not for servers. PURE (RFC 9112 §3.2)."""

from __future__ import annotations

import re
from dataclasses import replace

from lb.errors import ClientError
from lb.proxy.headers import HOST, Fields

#: CONNECT asks for a forward proxy; TRACE would show a client what we add (RFC 9110 §9.3.6, §9.3.8, §17).
REFUSED_METHODS = frozenset({b"CONNECT", b"TRACE"})

_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*+)([/?]?.*)")
_HOST_LINE = re.compile(rb"\r\n(?i:host):[^\r]*+")


def origin_form(method: bytes, target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """Return target and fields as a server expects them; ClientError if the target is of no known form.

    501 for a refused method. An absolute target says which host is meant; the Host field that came with it
    is replaced (§3.2.2).
    """
    if method in REFUSED_METHODS:
        raise ClientError(f"{method.decode()} is not served here", 501)
    if target == b"*" and method == b"OPTIONS":
        return target, fields
    match = _ABSOLUTE.fullmatch(target)
    if match is None or not match[1] or not HOST.fullmatch(match[1]):
        raise ClientError("the request target is neither a path nor an http URL")
    host, path = match.groups()
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"
    elif path.startswith(b"?"):
        path = b"/" + path
    forward = _HOST_LINE.sub(b"", fields.forward)
    return path, replace(fields, host=host, forward=b"\r\nHost: %b%b" % (host, forward))
