"""What clients of the API may send, as types; anything else is a UsageError that says what is wrong."""

from __future__ import annotations

from typing import Annotated, TypeVar

from flask import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError
from werkzeug.exceptions import RequestEntityTooLarge

from lb.errors import UsageError
from lb.model import MAX_WEIGHT, Admin
from lb.strategies import STRATEGIES

MAX_BODY_BYTES = 64 * 1024

#: Where Flask stops reading. It truncates a chunked body there without an error; the extra byte reveals that.
READ_LIMIT_BYTES = MAX_BODY_BYTES + 1


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _integer(value: object) -> object:
    """Turn 3.0 into 3, as JSON does not tell them apart; leave everything else alone."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT, strict=True), BeforeValidator(_integer)]


class NewServer(_Body):
    """POST /servers."""

    url: Annotated[str, Field(strict=True, json_schema_extra={"format": "server-url"})]
    weight: Weight = 1


class ServerChange(_Body):
    """PATCH /servers/<id>: either field, or both."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    admin: Admin | SkipJsonSchema[None] = None
    weight: Weight | SkipJsonSchema[None] = None

    @field_validator("admin", "weight", mode="before")
    @classmethod
    def _is_not_null(cls, value: object) -> object:
        if value is None:
            raise PydanticCustomError("null", "null is no change; leave the field out")
        return value


class Nothing(_Body):
    """POST /removed/<id>/restore."""


class StrategyChoice(_Body):
    """PUT /strategy."""

    strategy: Annotated[str, Field(strict=True, json_schema_extra={"enum": [*STRATEGIES]})]


class EventsQuery(_Body):
    """The query of GET /events."""

    count: Annotated[int, Field(ge=1, le=1000, description="How many at most.")] = 100
    after: Annotated[
        str,
        Field(
            pattern=r"^\d{1,19}(-\d{1,19})?$",
            description="The id of an event: the answer is the events that directly follow it, so the last "
            "one's id leads to the next page, and an empty list is the end. Without it: the newest events.",
        ),
    ] = "-"


Form = TypeVar("Form", bound=_Body)


def read_body(request: Request, form: type[Form], absent: bytes = b"") -> Form:
    """Decode a request's JSON body, or `absent` if it has none; UsageError names each wrong field."""
    body = request.get_data(cache=False) or absent
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise _usage_error(error, form) from None


def read_query(request: Request, form: type[Form]) -> Form:
    """Decode a request's query string; UsageError names every parameter that is wrong."""
    try:
        return form.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise _usage_error(error, form) from None


def _usage_error(error: ValidationError, form: type[_Body]) -> UsageError:
    # "none_required" is about the None that stands for an optional field left out: clients cannot send it.
    findings = (found for found in error.errors() if found["type"] != "none_required")
    return UsageError("; ".join(_describe(found, form) for found in findings))


def _describe(found: ErrorDetails, form: type[_Body]) -> str:
    field = str(found["loc"][0]) if found["loc"] else ""
    known = ", ".join(form.model_fields) or "none"
    if found["type"] == "json_invalid":
        return f"the body is not JSON: {found['ctx']['error']}"
    if found["type"] == "extra_forbidden":
        return f"unknown field {field!r}, known are: {known}"
    if found["type"] == "missing":
        return f"field {field!r} is missing"
    if not field:
        return f"the body must be a JSON object with the fields: {known}"
    return f"field {field!r}: {found['msg'][:1].lower()}{found['msg'][1:]}"
