"""What clients of the API may send, as types; whatever else they send is a UsageError that says why."""

from __future__ import annotations

from typing import Annotated, TypeVar

from flask import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import RequestEntityTooLarge

from lb.errors import UsageError
from lb.model import MAX_WEIGHT, Admin

MAX_BODY_BYTES = 64 * 1024

#: Where Flask stops reading. It cuts a chunked body there without a word; the byte more tells that it did.
READ_LIMIT_BYTES = MAX_BODY_BYTES + 1


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT, strict=True)]


class NewServer(_Body):
    """POST /servers."""

    url: Annotated[str, Field(strict=True)]
    weight: Weight = 1


class ServerChange(_Body):
    """PATCH /servers/<id>."""

    admin: Admin | None = None
    weight: Weight | None = None


class StrategyChoice(_Body):
    """PUT /strategy."""

    strategy: Annotated[str, Field(strict=True)]


class EventsQuery(_Body):
    """The query of GET /events."""

    count: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[str, Field(pattern=r"^\d{1,19}(-\d{1,19})?$")] = "-"


Form = TypeVar("Form", bound=_Body)


def read_body(request: Request, form: type[Form]) -> Form:
    """Decode the request's JSON body; UsageError names each field that is wrong."""
    body = request.get_data(cache=False)
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise _usage_error(error, form) from None


def read_query(request: Request, form: type[Form]) -> Form:
    """Decode the request's query string; UsageError names each parameter that is wrong."""
    try:
        return form.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise _usage_error(error, form) from None


def _usage_error(error: ValidationError, form: type[_Body]) -> UsageError:
    return UsageError("; ".join(_describe(found, form) for found in error.errors()))


def _describe(found: ErrorDetails, form: type[_Body]) -> str:
    field = ".".join(str(part) for part in found["loc"])
    known = ", ".join(form.model_fields)
    if found["type"] == "json_invalid":
        return f"the body is not JSON: {found['ctx']['error']}"
    if found["type"] == "extra_forbidden":
        return f"unknown field {field!r}, known are: {known}"
    if found["type"] == "missing":
        return f"field {field!r} is missing"
    if not field:
        return f"the body must be a JSON object with the fields: {known}"
    return f"field {field!r}: {found['msg'][:1].lower()}{found['msg'][1:]}"
