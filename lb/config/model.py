"""The whole configuration of one host; `sections` says how settings are written and described."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, GetCoreSchemaHandler, GetPydanticSchema, field_validator
from pydantic_core import core_schema

from lb.config import fields
from lb.config.addresses import ListenAddress, parse_server_url
from lb.config.sections import (
    AccessLog,
    AdminApi,
    HealthCheck,
    Limits,
    PassiveHealth,
    Section,
    ServerEntry,
    Timeouts,
    Webhook,
)
from lb.config.values import shown
from lb.model import MAX_WEIGHT, ServerId, ServerSpec

#: What tells which server answered, unless it is to be called something else; the original's.
SERVER_HEADER = "X-Forwarded-Server"


def _server_schema(_source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
    """Make a ServerSpec of a URL or a ServerEntry, and an entry of a ServerSpec when it is written."""
    entry = core_schema.no_info_before_validator_function(_server_entry, handler(ServerEntry))
    as_entry = core_schema.plain_serializer_function_ser_schema(_entry_json)
    return core_schema.no_info_after_validator_function(_server_spec, entry, serialization=as_entry)


def _server_entry(value: object) -> object:
    if isinstance(value, str):
        return {"url": value}
    if isinstance(value, dict):
        return value
    raise ValueError(f'expected a URL or an object with "url" and "weight"; got {shown(value)}')


def _server_spec(entry: ServerEntry) -> ServerSpec:
    return parse_server_url(entry.url, entry.weight)


def _entry_json(server: ServerSpec) -> dict[str, object]:
    return {"url": server.url, "weight": server.weight}


class Config(Section):
    """The effective configuration of one host."""

    port: fields.Listen = Field(
        default=ListenAddress("", 8080),
        description="Where clients connect: `:8080` is every interface, IPv4 and IPv6; port 0 any free port; "
        "`unix:/path` a unix socket, which its owner and group can use.",
    )
    strategy: fields.StrategyName = Field(
        default="round-robin",
        description="How a server is picked for a request: "
        + ", ".join(f"`{name}`" for name in fields.strategy_names())
        + ".",
    )
    servers: tuple[Annotated[ServerSpec, GetPydanticSchema(_server_schema)], ...] = Field(
        default=(),
        description="The servers: `http://host[:port]` or `unix:/path`, or objects with such a `url` and a "
        f"`weight` from 1 to {MAX_WEIGHT}. `lb-admin add` adds more.",
    )
    max_retries: fields.CountOrZero = Field(
        default=3, description="Attempts at other servers after the first one failed; 0 is none."
    )
    retry_on: tuple[fields.RetryStatus, ...] = Field(
        default=(502, 503, 504),
        description="Statuses of a server after which an idempotent request is retried; they say nothing of "
        "its health, unless `passiveHealth.statuses` names them.",
    )
    health_check_interval_seconds: fields.Duration = Field(
        default=2.0, description="Time between two checks of the same server."
    )
    threshold_seconds: fields.Threshold = Field(
        default=60.0,
        description="How long a server may leave checks unanswered before it is removed from the pool; it is "
        "still checked, less often, and comes back when it passes. `off`: it stays, down.",
    )
    health_check: HealthCheck = Field(default=HealthCheck(), description="The health-checker's requests.")
    passive_health: PassiveHealth = Field(
        default=PassiveHealth(), description="Health as seen on real traffic."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long each step of a request may take.")
    limits: Limits = Field(default=Limits(), description="How much of everything one client may ask for.")
    trusted_proxies: tuple[fields.Network, ...] = Field(
        default=(),
        description="Addresses and networks whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` headers "
        "are believed; nobody's by default. `unix:` stands for all clients of a unix socket.",
    )
    request_id: fields.Switch = Field(
        default=True,
        description="Whether each request gets an `X-Request-Id`, unique in the fleet; a trusted proxy's "
        "is kept.",
    )
    request_id_in_response: fields.Switch = Field(
        default=False, description="Whether the client gets the `X-Request-Id` too, in place of a server's."
    )
    forwarded: fields.Switch = Field(
        default=False, description="Whether requests also get a `Forwarded` header (RFC 7239)."
    )
    via: fields.Pseudonym | None = Field(
        default=None,
        description="Our name in a `Via` header on requests and responses (RFC 9110), such as `lb`; "
        "absent: no such header.",
    )
    server_header: fields.ServerHeader = Field(
        default=True,
        description="Whether responses tell the URL of the server that answered, in `X-Forwarded-Server`; or "
        "the name of another header for it. A server's own header of that name is dropped.",
    )
    workers: fields.WorkerCount | None = Field(
        default=None, description="Worker processes; absent: one per processor core."
    )
    redis: fields.StoreUrl | None = Field(
        default=None,
        repr=False,
        description="URL of the store, Redis or Valkey; absent: an embedded one in `dataDir`.",
    )
    key_prefix: fields.KeyName = Field(default="lb", description="What every key in the store begins with.")
    pool: fields.KeyName = Field(
        default="default", description="The pool's name; hosts with the same one share it."
    )
    data_dir: fields.Directory = Field(
        default=Path(".lb"), description="Directory of the embedded store and its socket."
    )
    graceful_timeout_seconds: fields.DurationOrZero = Field(
        default=10.0,
        description="How long requests in flight may take when the balancer stops; then they are cut.",
    )
    retire_timeout_seconds: fields.DurationOrZero = Field(
        default=3600.0,
        description="How long downloads, WebSockets and the like may go on in a worker that a reload has "
        "replaced; then they are cut.",
    )
    log_format: fields.LogFormat = Field(
        default="text",
        description="What the processes say of themselves on standard error: `text` for people, `json` "
        "for programs, an object per line.",
    )
    access_log: AccessLog = Field(default=AccessLog(), description="A line for each request.")
    admin: AdminApi = Field(default=AdminApi(), description="The admin API.")
    webhook: Webhook = Field(default=Webhook(), description="Whom to tell of events.")

    @field_validator("servers")
    @classmethod
    def _each_server_once(cls, servers: tuple[ServerSpec, ...]) -> tuple[ServerSpec, ...]:
        places: dict[ServerId, list[str]] = {}
        for index, server in enumerate(servers):
            places.setdefault(server.id, []).append(f"servers[{index}]")
        repeated = [f"{server} is {' and '.join(at)}" for server, at in places.items() if len(at) > 1]
        if repeated:
            raise ValueError(f"expected each server once; {', '.join(repeated)}")
        return servers

    @property
    def server_header_name(self) -> str:
        """The header that tells which server answered; empty if none is to."""
        name = self.server_header
        return name if isinstance(name, str) else SERVER_HEADER if name else ""

    @property
    def worker_count(self) -> int:
        """How many workers to run: the configured number, or else one per core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))
