"""The types of health check: one module each, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lb.config import HealthCheck
from lb.health.checks import http
from lb.model import Check, Server

#: A check asks one server once, and returns what came of it within the settings' timeout; it never raises.
CheckType = Callable[[Server, HealthCheck], Check]

CHECKS: Mapping[str, CheckType] = {
    "http": http.check,
}
