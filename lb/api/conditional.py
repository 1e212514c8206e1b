"""Conditional requests: reads carry the pool's version as `ETag`, and a write may insist on it by `If-Match`.

The version changes with each act and each change of health, but not with the live figures, so an unchanged
one does not justify a 304. The store compares it as part of the act: of two writes that saw the same version,
only one is done.
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

#: The tags that may be ours. Others are ignored, such as numbers too long to be a version.
_VERSION = re.compile(r"\d{1,19}", re.ASCII)


def versioned(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, Response]:
    """Add the pool's version to the answers of a view. It is read first: no answer is older than its ETag."""

    @wraps(view)
    def answer(*arguments: _P.args, **named: _P.kwargs) -> Response:
        version = pool().version()
        response = make_response(view(*arguments, **named))
        response.set_etag(str(version))
        return response

    return answer


def pool_as_seen() -> BackendPool:
    """Return the pool for a write; with If-Match, one whose acts are refused (412) at any other version."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return pool()
    return pool().at([int(tag) for tag in request.if_match.as_set() if _VERSION.fullmatch(tag or "")])
