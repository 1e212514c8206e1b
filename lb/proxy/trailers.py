"""Which fields may follow a chunked body. PURE (RFC 9112 §7.1.2)."""

from __future__ import annotations

import re

from lb.errors import ClientError
from lb.proxy.headers import BLOCK

_FORBIDDEN_TRAILER = re.compile(
    rb"\r\n(?i:authorization|connection|content[-_](?:encoding|length|range|type)|cookie|expect|forwarded|host"
    rb"|keep-alive|max-forwards|proxy-[\w-]+|set-cookie|te|trailer|transfer[-_]encoding|upgrade"
    rb"|x[-_](?:forwarded[-_][\w-]+|real[-_]ip|request[-_]id)):[^\r]*+"
)


def parse_trailers(block: bytes) -> bytes:
    """Return the trailer lines to forward, each with its CR LF before it; ClientError if malformed.

    `block` starts at the CR LF before the first line and ends with the empty line. Fields that frame, route
    or authenticate a message have no business in a trailer (RFC 9110 §6.5.1).
    """
    if BLOCK.fullmatch(block) is None:
        raise ClientError("malformed trailer field")
    return _FORBIDDEN_TRAILER.sub(b"", block[:-4])
