"""config.json, environment and flags as one frozen `Config`; and server URLs as operators write them.

This imports pydantic, which takes a tenth of a second, so commands import it only once they run.
"""

from __future__ import annotations

from lb.config.addresses import ListenAddress, normalise_server_id, parse_server_url
from lb.config.load import (
    Setting,
    environment_warnings,
    from_json,
    load,
    may_exist,
    pin_file,
    settings,
    to_json,
)
from lb.config.model import Config
from lb.config.sections import ALIVE, AdminApi, HealthCheck, Limits, PassiveHealth, Timeouts, Webhook
from lb.config.values import StatusRange, format_duration, parse_duration
from lb.config.warnings import setting_warnings

__all__ = [
    "ALIVE",
    "AdminApi",
    "Config",
    "HealthCheck",
    "Limits",
    "ListenAddress",
    "PassiveHealth",
    "Setting",
    "StatusRange",
    "Timeouts",
    "Webhook",
    "environment_warnings",
    "format_duration",
    "from_json",
    "load",
    "may_exist",
    "normalise_server_id",
    "parse_duration",
    "parse_server_url",
    "pin_file",
    "setting_warnings",
    "settings",
    "to_json",
]
