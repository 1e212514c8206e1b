"""The sections of the configuration: each setting once, with its default, unit and meaning.

Attributes are in snake_case; the file has the same names in camelCase. Durations are float seconds here, so
their attributes end in `_seconds`, while the file says "2s". Users read the descriptions in the reference.
"""

from __future__ import annotations

from hashlib import sha1
from typing import TypeGuard

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from lb.config import fields
from lb.config.addresses import ListenAddress
from lb.config.values import StatusRange, shown
from lb.model import EVENT_KINDS, MAX_WEIGHT, TOLD_EVENTS

#: Statuses that pass a health check: where nobody said what to ask a server, and where a path was named.
ALIVE, WORKS = (StatusRange(200, 499),), ("200-399",)

#: Attributes that the file calls something else, to stay compatible with the original balancer's file.
_FILE_KEYS = {"strategy": "lbAlgo"}


def file_key(attribute: str) -> str:
    """Return the file's name for an attribute."""
    return _FILE_KEYS.get(attribute) or to_camel(attribute.removesuffix("_seconds"))


class Section(BaseModel):
    """A JSON object of settings; immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=file_key)


def is_section(annotation: object) -> TypeGuard[type[Section]]:
    """Whether a field holds a section rather than a single setting."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


class ServerEntry(Section):
    """A server in `servers`, where it is more than a URL."""

    url: fields.ServerUrl = Field(
        description="`http://host[:port]`, port 80 if it names none; or `unix:/path`."
    )
    weight: fields.Weight = Field(
        default=1, description=f"1 to {MAX_WEIGHT}: its share of the requests, relative to the others'."
    )


class HealthCheck(Section):
    """How the health-checker checks a server."""

    method: fields.CheckMethod = Field(
        default="HEAD",
        description="HEAD or GET; HEAD as in the original. What does not pass, or is answered 405 or 501, is "
        "asked again with GET, which then counts, and a server that needs it gets GET from then on.",
    )
    path: fields.CheckPath = Field(
        default="/",
        description="Path, with query if need be, of the check's request. Name one that answers 200 to 399 "
        "while the server works.",
    )
    timeout_seconds: fields.Duration = Field(
        default=5.0, description="How long a check may take, connecting included; longer is no answer."
    )
    rise: fields.Count = Field(default=2, description="Passed checks in a row that bring a server up.")
    fall: fields.Count = Field(default=3, description="Failed checks in a row that take a server down.")
    expect: tuple[fields.Statuses, ...] = Field(
        default=ALIVE,
        description="Statuses that pass a check: 200, `200-299` or `2xx`. With a `path` that is set they are "
        "200 to 399; without one every answer below 500 says that the server works, as its `/` may redirect, "
        "ask for a login, or not exist.",
    )

    fail_open: fields.Switch = Field(
        default=True,
        description="Whether requests go to all servers that no operator has drained while none of them is "
        "up: checks may be wrong, and answers of a failing server are no worse than 503.",
    )

    @model_validator(mode="before")
    @classmethod
    def _a_path_of_its_own_must_work(cls, values: object) -> object:
        if isinstance(values, dict) and "path" in values and "expect" not in values:
            return {**values, "expect": WORKS}
        return values

    @field_validator("expect")
    @classmethod
    def _can_pass(cls, expect: tuple[StatusRange, ...]) -> tuple[StatusRange, ...]:
        if not expect:
            raise ValueError("expected at least one status, as no check could pass")
        return expect

    @property
    def expected(self) -> str:
        """The statuses that pass, in words."""
        return ", ".join(map(str, self.expect))

    @property
    def fingerprint(self) -> str:
        """What tells these settings from others, also in the store."""
        return sha1(self.model_dump_json().encode(), usedforsecurity=False).hexdigest()[:12]

    def expects(self, status: int) -> bool:
        """Whether a response of this status passes the check."""
        return any(status in statuses for statuses in self.expect)


class PassiveHealth(Section):
    """What failed requests of clients tell about a server."""

    failures: fields.CountOrZero = Field(
        default=5,
        description="Failed requests in a row, counted over all workers, that take a server down until "
        "checks bring it up; 0 turns this off. A request fails without a connection, with a reset, a "
        "time-out or a malformed answer.",
    )
    statuses: tuple[fields.FailureStatus, ...] = Field(
        default=(),
        description="Statuses, 500 to 599, that count as failures too. None by default, as one route that "
        "answers 503 would take its server away from all other routes.",
    )


class Timeouts(Section):
    """How long each step of a request may take."""

    connect_seconds: fields.Duration = Field(
        default=3.0, description="Connecting to a server; short, because another one is tried next."
    )
    response_head_seconds: fields.Duration = Field(
        default=60.0,
        description="From the request's last byte to the end of the response's head; then 504. An interim "
        "response, such as 102, begins it again, ten times at most. With Expect: 100-continue also from the "
        "request's head to the 100. Also how long a server may take nothing of a body that is sent to it.",
    )
    idle_seconds: fields.Duration = Field(
        default=60.0,
        description="Silence within a response's body, of a client that should read it, or on an upgraded "
        "connection that one side has ended; then it is cut. Also how long a server's connection is kept for "
        "the next request.",
    )
    client_header_seconds: fields.Duration = Field(
        default=60.0, description="From the first to the last byte of a request's head; then 408."
    )
    client_body_seconds: fields.Duration = Field(
        default=60.0, description="Silence within a request's body, before its answer has begun; then 408."
    )
    keep_alive_seconds: fields.Duration = Field(
        default=75.0, description="How long a client's connection may wait for its next request."
    )
    store_seconds: fields.Duration = Field(
        default=0.1,
        description="How long a request waits for the store to pick; then the worker picks on its own, "
        "without waiting, until the store answers again.",
    )
    tunnel_seconds: fields.Duration = Field(
        default=3600.0,
        description="Silence in both directions of an upgraded connection, such as a WebSocket.",
    )


class Limits(Section):
    """How much of everything one client may ask for."""

    request_line_bytes: fields.Count = Field(
        default=8192, description="Longest request line, in bytes; then 414."
    )
    header_bytes: fields.Count = Field(default=32768, description="Longest header block, in bytes; then 431.")
    header_count: fields.Count = Field(default=100, description="Most header lines of a message; then 431.")
    body_bytes: fields.CountOrZero = Field(
        default=0,
        description="Largest request body, in bytes; then 413. 0: no limit, as bodies are never held whole.",
    )
    replay_bytes: fields.CountOrZero = Field(
        default=65536,
        description="How much of a request's body is kept for a retry, in bytes; a larger one is sent once.",
    )
    keep_alive_requests: fields.CountOrZero = Field(
        default=10000, description="Requests on one client connection before it is closed; 0 is no limit."
    )
    idle_connections_per_server: fields.CountOrZero = Field(
        default=256,
        description="Connections that a worker keeps open to a server between requests: enough for a busy "
        "worker's requests in flight, so that load does not become connecting.",
    )
    clients: fields.Count = Field(
        default=10000,
        description="Client connections that one worker holds at once; fewer if its open files do not allow "
        "two for each. When all are taken, idle ones are closed for new clients, the oldest first.",
    )
    clients_per_address: fields.CountOrZero = Field(
        default=0,
        description="The same for one address (IPv6: a /64), but not of `trustedProxies`; then 429. 0: off.",
    )


class AccessLog(Section):
    """A line for each request."""

    path: fields.LogPath | None = Field(
        default=None,
        description="Where the access log goes: a file, which SIGUSR1 reopens after a rotation, or `stdout`; "
        "absent: nowhere.",
    )
    format: fields.AccessLogFormat = Field(
        default="combined",
        description="`combined`: Apache's format and then our figures as `name=value`; `json`: an object per "
        "line.",
    )


class AdminApi(Section):
    """The API behind the dashboard and the metrics."""

    listen: fields.NetworkListen = Field(
        default=ListenAddress("127.0.0.1", 8081),
        description="Address of the admin API: this machine alone by default.",
    )
    token: fields.Token | None = Field(
        default=None,
        validate_default=True,
        repr=False,
        description="Secret that requests must carry, 16 characters or more without spaces; required if "
        "`listen` is reachable from other machines.",
    )
    read_token: fields.Token | None = Field(
        default=None,
        repr=False,
        description="Secret of those who may only read; it can be set only together with `token`.",
    )

    @field_validator("token")
    @classmethod
    def _guards_the_network(cls, token: str | None, info: ValidationInfo) -> str | None:
        listen = info.data.get("listen")
        if token is None and listen is not None and not listen.loopback:
            raise ValueError(
                f"required, because admin.listen {shown(str(listen))} is reachable from other machines; "
                'set one, or listen on "127.0.0.1:8081"'
            )
        return token

    @field_validator("read_token")
    @classmethod
    def _is_the_lesser_one(cls, read_token: str | None, info: ValidationInfo) -> str | None:
        if read_token is not None and "token" in info.data and info.data["token"] in (None, read_token):
            raise ValueError(
                "expected admin.token to be set too, and to another secret, as otherwise readers may write"
            )
        return read_token


class Webhook(Section):
    """Whom the balancer tells what happens."""

    url: fields.WebhookUrl | None = Field(
        default=None,
        repr=False,
        description="Where events are posted as JSON, `https://…` or `http://…`; absent: nowhere. Not shown, "
        "as such URLs often are secrets.",
    )
    secret: fields.Token | None = Field(
        default=None,
        repr=False,
        description="Secret that signs the messages, 16 characters or more without spaces; absent: they are "
        "not signed.",
    )
    events: tuple[fields.EventKind, ...] = Field(
        default=TOLD_EVENTS,
        description="Kinds of events to tell; all that there are: " + ", ".join(EVENT_KINDS) + ".",
    )
    timeout_seconds: fields.Duration = Field(
        default=10.0, description="How long all of it may take: finding the receiver, connecting, its answer."
    )
