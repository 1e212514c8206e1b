"""Tells `LB_…` variables that are settings from those that Kubernetes sets and those that are mistakes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from lb.config.values import nearest, shown

_PREFIX = "LB_"

#: Variables that we read but that are no settings.
_OTHERS = ("LB_CONFIG", "LB_UPGRADE_FD")

# Kubernetes sets these for each Service, here one called "lb" or "lb-admin", in the manner of Docker's links.
_SERVICE_NAME = re.compile(
    r"LB_(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_URL = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+")


def value_of(environ: Mapping[str, str], variable: str) -> str:
    """Return a setting's value in the environment; empty if it is unset, or is the address of a Service."""
    value = environ.get(variable, "")
    return "" if _is_of_service(variable, value) else value


def warnings(environ: Mapping[str, str], variables: Collection[str]) -> list[str]:
    """Return warnings about variables that have no effect. `variables` are those of the settings."""
    known = {*variables, *_OTHERS}
    ours = {name: value for name, value in environ.items() if name.startswith(_PREFIX)}
    said = []
    for name, value in sorted(ours.items()):
        if _is_of_service(name, value):
            if name in known:
                said.append(_service_sentence(name, value))
        elif name not in known:
            said.append(_unknown_sentence(name, known))
    return said


def _is_of_service(name: str, value: str) -> bool:
    by_value = name.endswith("PORT") and _SERVICE_URL.fullmatch(value) is not None
    return by_value or _SERVICE_NAME.fullmatch(name) is not None


def _service_sentence(name: str, value: str) -> str:
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    return (
        f"environment {name}: {shown(value)} is ignored, as Kubernetes sets it for a Service called "
        f"{service}; enableServiceLinks: false in the pod's spec prevents that"
    )


def _unknown_sentence(name: str, known: Collection[str]) -> str:
    near = nearest(name.removeprefix(_PREFIX), [each.removeprefix(_PREFIX) for each in known])
    hint = f"; did you mean {_PREFIX}{near}?" if near else "; `lb config --reference` lists all settings"
    return f"environment {name}: there is no such setting, so it has no effect{hint}"
