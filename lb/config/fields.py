"""The types of settings: each joins a value, its parser, and how it is written back to JSON."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.resources import files
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from lb.config.addresses import (
    ListenAddress,
    normalise_url,
    parse_network,
    parse_network_address,
    parse_weight,
    split_host_port,
)
from lb.config.store_url import check_store_url
from lb.config.values import (
    StatusRange,
    format_duration,
    format_threshold,
    matching,
    one_of,
    parse_duration,
    parse_positive_duration,
    parse_threshold,
    shown,
    switch,
    whole_number,
)
from lb.model import EVENT_KINDS, MAX_WEIGHT

_MIN_TOKEN_LENGTH = 16
_MOST_WORKERS = 512  # of one host; a reload doubles them for a while


def strategy_names() -> list[str]:
    """List the strategies by their files, as the settings need their names but not their code."""
    names = (entry.name for entry in files("lb").joinpath("strategies").iterdir())
    stems = (name.removesuffix(".lua") for name in names if name.endswith(".lua"))
    return sorted(stem.replace("_", "-") for stem in stems)


def _webhook_url(text: str) -> str:
    """Check a webhook's URL without ever showing it: such URLs are often secrets themselves."""
    match = re.fullmatch(r"https?://([^/?#]+)[!-\"$-~]*", text, re.IGNORECASE)
    if match and "@" in match[1]:
        raise ValueError("expected a URL without a user name and password; `webhook.secret` signs messages")
    try:
        host, port = split_host_port(match[1], 80, "") if match else ("", 0)
    except ValueError:
        host, port = "", 0
    if not host or not port:
        raise ValueError('expected a URL such as "https://alerts.example/lb", in ASCII and without "#"')
    return text


def _directory(value: object) -> object:
    if isinstance(value, str | Path) and not (str(value).isprintable() and value):
        raise ValueError(
            f"expected the path of a directory, in printable characters; got {shown(str(value))}"
        )
    return value


def _log_path(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(
            f'expected "stdout" or the path of a file, in printable characters; got {shown(text)}'
        )
    return text


def _token(text: str) -> str:
    if not re.fullmatch(rf"[!-~]{{{_MIN_TOKEN_LENGTH},}}", text):
        raise ValueError(
            f"expected {_MIN_TOKEN_LENGTH} or more printable ASCII characters without spaces; got {len(text)}"
        )
    return text


# RFC 9110 §5.1 and §5.6.2: a token; beginning with a letter, so that it is no switch.
_FIELD_NAME = re.compile(r"[A-Za-z][!#$%&'*+\-.^_`|~0-9A-Za-z]{0,63}")
#: Fields of responses that have a meaning which the URL of a server would take away.
_MEANT_OTHERWISE = re.compile(
    r"connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|content-.*|date|age|vary|via|etag|expires"
    r"|cache-control|pragma|last-modified|location|retry-after|set-cookie|www-authenticate|accept-.*"
    r"|access-control-.*|strict-transport-security|sec-.*|x-request-id|allow|alt-svc|link|refresh",
    re.IGNORECASE,
)


def _server_header(value: object) -> bool | str:
    with suppress(ValueError):
        return switch(value)
    if not isinstance(value, str) or not _FIELD_NAME.fullmatch(value):
        raise ValueError(
            f'expected true, false, or the name of a header such as "X-Served-By"; got {shown(value)}'
        )
    if _MEANT_OTHERWISE.fullmatch(value):
        raise ValueError(f"expected a header without a meaning of its own; got {shown(value)}")
    return value


_AsDuration = PlainSerializer(format_duration, when_used="json")
_DurationSchema = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|d|h|m|s)?)+$"},
            {"type": "number", "minimum": 0},
        ],
        "examples": ["2s", "500ms", "1m30s", 2000],
    }
)
Duration = Annotated[float, BeforeValidator(parse_positive_duration), _AsDuration, _DurationSchema]
Threshold = Annotated[
    float | None,
    BeforeValidator(parse_threshold),
    PlainSerializer(format_threshold, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^((\d+(\.\d+)?(ms|d|h|m|s)?)+|off)$"},
                {"type": "number", "exclusiveMinimum": 0},
            ],
            "examples": ["1m", "2d12h", "off", 60000],
        }
    ),
]
DurationOrZero = Annotated[float, BeforeValidator(parse_duration), _AsDuration, _DurationSchema]


def _integer(least: int, most: int | None = None) -> WithJsonSchema:
    bounds = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return WithJsonSchema({"type": "integer", **bounds})


def _one_of(*words: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words)})


CountOrZero = Annotated[int, BeforeValidator(whole_number(0)), _integer(0)]
Count = Annotated[int, BeforeValidator(whole_number(1)), _integer(1)]
WorkerCount = Annotated[int, BeforeValidator(whole_number(1, _MOST_WORKERS)), _integer(1, _MOST_WORKERS)]
Weight = Annotated[int, BeforeValidator(parse_weight), _integer(1, MAX_WEIGHT)]
RetryStatus = Annotated[int, BeforeValidator(whole_number(400, 599)), _integer(400, 599)]
FailureStatus = Annotated[int, BeforeValidator(whole_number(500, 599)), _integer(500, 599)]
Statuses = Annotated[
    StatusRange,
    PlainValidator(StatusRange.parse),
    PlainSerializer(str),
    WithJsonSchema({"type": ["integer", "string"], "examples": [200, "2xx", "200-299"]}),
]

_ListenSchema = WithJsonSchema(
    {"type": ["string", "integer"], "examples": [":8080", "127.0.0.1:8080", "[::1]:8080", 8080]}
)
Listen = Annotated[ListenAddress, PlainValidator(ListenAddress.parse), PlainSerializer(str), _ListenSchema]
NetworkListen = Annotated[
    ListenAddress, PlainValidator(parse_network_address), PlainSerializer(str), _ListenSchema
]
ServerUrl = Annotated[str, AfterValidator(normalise_url)]
WebhookUrl = Annotated[str, AfterValidator(_webhook_url)]
StoreUrl = Annotated[str, AfterValidator(check_store_url)]
Network = Annotated[
    IPv4Network | IPv6Network | Literal["unix:"],
    PlainValidator(parse_network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8"]}),
]

Switch = Annotated[bool, BeforeValidator(switch)]
ServerHeader = Annotated[
    bool | str,
    PlainValidator(_server_header),
    WithJsonSchema({"type": ["boolean", "string"], "examples": [True, False, "X-Served-By"]}),
]
Pseudonym = Annotated[
    str,
    AfterValidator(
        matching(r"[A-Za-z0-9._~-]{1,255}(:\d{1,5})?", 'a name such as "lb" or a host, without blanks')
    ),
]

StrategyName = Annotated[str, BeforeValidator(one_of(strategy_names())), _one_of(*strategy_names())]
EventKind = Annotated[str, BeforeValidator(one_of(EVENT_KINDS)), _one_of(*EVENT_KINDS)]
CheckMethod = Annotated[str, BeforeValidator(one_of(["HEAD", "GET"])), _one_of("HEAD", "GET")]
CheckPath = Annotated[
    str,
    AfterValidator(matching(r"/[!-\"$-~]*", 'a path such as "/health", in ASCII without spaces or "#"')),
]
LogPath = Annotated[str, AfterValidator(_log_path)]
AccessLogFormat = Annotated[str, BeforeValidator(one_of(["combined", "json"])), _one_of("combined", "json")]
LogFormat = Annotated[str, BeforeValidator(one_of(["text", "json"])), _one_of("text", "json")]
Directory = Annotated[Path, BeforeValidator(_directory)]
KeyName = Annotated[
    str, AfterValidator(matching(r"[A-Za-z0-9._:-]{1,64}", '1 to 64 letters, digits, ".", "_", ":" or "-"'))
]
Token = Annotated[str, AfterValidator(_token)]
