"""Request targets that are not a path, and methods that proxies treat apart. PURE (RFC 9112 §3.2)."""

from __future__ import annotations

import re
from dataclasses import replace

from lb.errors import ClientError
from lb.proxy.headers import HOST, Fields, without_zeros

#: CONNECT asks for a forward proxy; TRACE would show a client what we add (RFC 9110 §9.3.6, §9.3.8, §17).
_REFUSED = frozenset({b"CONNECT", b"TRACE"})
#: What `origin_form` must see, whatever its target.
METHODS_APART = _REFUSED | {b"OPTIONS"}

_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*+)([/?]?.*)")
_HOST_LINE = re.compile(rb"\r\n(?i:host):[^\r]*+")
_MAX_FORWARDS = re.compile(rb"(\r\n(?i:max-forwards):[\t ]*+)(\d++)(?=[\t ]*+(?:\r|$))")
#: The largest that is passed on: of a larger number of hops nobody sees the end (RFC 9110 §7.6.2).
_MOST_HOPS = 10**18 - 1


def origin_form(method: bytes, target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """Return target and fields as a server expects them; ClientError if the target is of no known form.

    501 for a refused method, and for OPTIONS that may go no further. An absolute target says which host is
    meant; the Host field that came with it is replaced (§3.2.2).
    """
    if method in _REFUSED:
        raise ClientError(f"{method.decode()} is not served here", 501)
    if method == b"OPTIONS":
        fields = _one_hop_further(fields)
        if target == b"*":
            return target, fields
    if target.startswith(b"/"):
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


def _one_hop_further(fields: Fields) -> Fields:
    """Count a hop off Max-Forwards (RFC 9110 §7.6.2); ClientError if there is none left."""
    match = _MAX_FORWARDS.search(fields.forward)
    if match is None:
        return fields
    said = without_zeros(match[2])
    hops = int(said) - 1 if len(said) <= len(str(_MOST_HOPS)) else _MOST_HOPS
    if hops < 0:
        raise ClientError("OPTIONS is not answered here, and may go no further (Max-Forwards: 0)", 501)
    return replace(fields, forward=_MAX_FORWARDS.sub(rb"\g<1>%d" % hops, fields.forward))
