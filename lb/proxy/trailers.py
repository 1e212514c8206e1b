"""Which fields may follow a chunked body. PURE (RFC 9112 §7.1.2)."""

from __future__ import annotations

import re

from lb.errors import ClientError
from lb.proxy.headers import BLOCK

# RFC 9110 §6.5.1: what frames, routes or authenticates a message, modifies a request, controls a response or
# says how content is processed; and what only the balancer may say. With "_" as CGI would read it.
_FORBIDDEN = (
    rb"connection|content[-_]length|keep-alive|te|trailer|transfer[-_]encoding|upgrade"
    rb"|forwarded|host|max-forwards|via|x[-_](?:forwarded[-_][\w-]+|real[-_]ip|request[-_]id)"
    rb"|authorization|cookie|proxy-[\w-]+|set-cookie|www-authenticate"
    rb"|cache-control|expect|if-[\w-]+|pragma|range"
    rb"|age|date|expires|location|retry-after|vary|warning"
    rb"|content[-_](?:encoding|range|type)"
)
_FORBIDDEN_LINE = re.compile(rb"\r\n(?i:" + _FORBIDDEN + rb"):[^\r]*+")


def parse_trailers(block: bytes) -> bytes:
    """Return the trailer lines to forward, each with its CR LF before it; ClientError if malformed.

    `block` starts at the CR LF before the first line and ends with the empty line.
    """
    if BLOCK.fullmatch(block) is None:
        raise ClientError("malformed trailer field")
    return _FORBIDDEN_LINE.sub(b"", block[:-4])
