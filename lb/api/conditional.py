"""Reads tell the version of the pool they show (`ETag`); a write may insist on that one (`If-Match`).

The version changes with each act and each flip but not with live figures, so it is no reason to answer 304.
It is compared right before the act, not within it: two writes at the same instant may both pass.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, make_response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import PreconditionFailed

from lb.api.context import pool

_P = ParamSpec("_P")


def versioned(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, Response]:
    """Put the pool's version on a read: it is read first, so an answer is never older than its ETag."""

    @wraps(view)
    def answer(*arguments: _P.args, **named: _P.kwargs) -> Response:
        version = pool().version()
        response = make_response(view(*arguments, **named))
        response.set_etag(str(version))
        return response

    return answer


def conditional(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, ResponseReturnValue]:
    """Refuse a write with 412 if its If-Match names another version of the pool than the present one."""

    @wraps(view)
    def act(*arguments: _P.args, **named: _P.kwargs) -> ResponseReturnValue:
        if "If-Match" in request.headers:
            version = str(pool().version())
            if version not in request.if_match:
                raise PreconditionFailed(
                    f'the pool is at version "{version}", If-Match wants {request.headers["If-Match"]}; '
                    "look again, and send the ETag of what you saw"
                )
        return view(*arguments, **named)

    return act
