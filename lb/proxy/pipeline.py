"""Requests that a client has sent ahead of their turn (RFC 9112 §9.3.2). PURE."""

from __future__ import annotations

from lb.errors import ClientError
from lb.proxy.chunks import CHUNK_LINE
from lb.proxy.http1 import HeadParser


def announces_end(data: bytes, heads: HeadParser) -> bool:
    """Whether one of the requests in `data` says that it is the last of its connection.

    What is malformed is for its own turn to refuse: behind it nothing counts.
    """
    at = 0
    while (end := data.find(b"\r\n\r\n", at) + 4) > 3:
        try:
            request = heads.request(data[at:end].removeprefix(b"\r\n"))
        except ClientError:
            return False
        if not request.keep_alive:
            return True
        at = end + (request.fields.content_length or 0)
        if request.fields.chunked:
            at = _end_of_chunks(data, end)
    return False


def _end_of_chunks(data: bytes, at: int) -> int:
    """Return where a chunked body ends that begins at `at`; the end of the data if it is not whole."""
    while line := CHUNK_LINE.match(data, at):
        size = int(line[1], 16)
        if not size:
            end = data.find(b"\r\n\r\n", line.end() - 2)
            return end + 4 if end >= 0 else len(data)
        at = line.end() + size + 2
    return len(data)
