"""The types of health check: one module for each, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lb.config import HealthCheck
from lb.health.checks.http import HttpCheck
from lb.health.finding import Finding
from lb.model import Server

#: A check asks a server once and returns the outcome, within the timeout of the settings. It never raises.
CheckType = Callable[[Server, HealthCheck], Finding]

#: Each makes a check for one health-checker, which may remember what it found of a server.
CHECKS: Mapping[str, Callable[[], CheckType]] = {
    "http": HttpCheck,
}
