"""Writes the head of a request from its WSGI environ, to be read by the data plane's own rules. PURE.

PEP 3333 passes headers on in the manner of CGI, so the case of their names, their order and their separate
lines are lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from lb.errors import ClientError

#: Characters that may stand unquoted in a path (RFC 3986 §3.3).
_IN_PATHS = "/:@!$&'()*+,;=-._~"
#: All visible ASCII characters: a target that the client has quoted is not quoted again.
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

#: Where WSGI servers keep the target as the client sent it, if they do: gunicorn and a few; others.
_RAW = ("RAW_URI", "REQUEST_URI")

#: In an environ these have other names. With "HTTP_" they come from header names spelt with "_".
_NOT_FIELDS = frozenset({"HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"})

Environ = Mapping[str, Any]


def head_of(environ: Environ) -> bytes:
    """Return the request's head, including its empty line; ClientError if it cannot have been one."""
    lines = [f"{environ['REQUEST_METHOD']} {target_of(environ)} HTTP/1.{minor_of(environ)}"]
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in _NOT_FIELDS:
            lines.append(f"{_name(key)}: {value}")
    if content_type := environ.get("CONTENT_TYPE"):
        lines.append(f"Content-Type: {content_type}")
    if content_length := environ.get("CONTENT_LENGTH"):
        lines.append(f"Content-Length: {content_length}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1:
        raise ClientError("a header field of more than one line")
    try:
        return f"{head}\r\n\r\n".encode("latin-1")
    except UnicodeEncodeError:
        raise ClientError("a header field with characters that HTTP does not have") from None


def minor_of(environ: Environ) -> int:
    """Return the minor version; whatever is newer than HTTP/1.1 is taken for that."""
    return 0 if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else 1


def target_of(environ: Environ) -> str:
    """Return the target as the client sent it, or an equivalent one if the WSGI server does not keep it."""
    for name in _RAW:
        if raw := environ.get(name):
            return raw if raw.isascii() else quote(raw, safe=_PRINTABLE, encoding="latin-1", errors="replace")
    path = quote(
        environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        safe=_IN_PATHS,
        encoding="latin-1",
        errors="replace",
    )
    query = environ.get("QUERY_STRING", "")
    if not query.isascii():
        query = quote(query, safe=_PRINTABLE, encoding="latin-1", errors="replace")
    return f"{path or '/'}?{query}" if query else path or "/"


_WORD_START = re.compile(r"(?:^|-)[a-z]")


@lru_cache(maxsize=1024)
def _name(key: str) -> str:
    """Return a field's name in its usual spelling.

    >>> _name("HTTP_X_REQUEST_ID")
    'X-Request-Id'
    """
    name = key[5:].replace("_", "-").lower()
    return _WORD_START.sub(lambda match: match[0].upper(), name)
