"""Reads tell the version of the pool they show (`ETag`); a write may insist on that one (`If-Match`).

The version changes with each act and each flip but not with live figures, so it is no reason to answer 304.
The store compares it within the act: of two writes that saw the same version, one is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, make_response, request
from flask.typing import ResponseReturnValue

from lb.api.context import pool
from lb.store.pool import BackendPool

_P = ParamSpec("_P")

#: What a tag may be if it is one of ours; of strange ones there are many, longer than numbers should be.
_VERSION = re.compile(r"\d{1,19}", re.ASCII)


def versioned(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, Response]:
    """Put the pool's version on a read: it is read first, so an answer is never older than its ETag."""

    @wraps(view)
    def answer(*arguments: _P.args, **named: _P.kwargs) -> Response:
        version = pool().version()
        response = make_response(view(*arguments, **named))
        response.set_etag(str(version))
        return response

    return answer


def pool_as_seen() -> BackendPool:
    """Return the pool for a write: if it says If-Match, one that refuses acts (412) at any other version."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return pool()
    return pool().at([int(tag) for tag in request.if_match.as_set() if _VERSION.fullmatch(tag or "")])
