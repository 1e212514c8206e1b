"""Durations that are too short to be meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lb.config import Config, from_json, setting_warnings, settings, to_json


def warnings(written: dict[str, Any]) -> list[str]:
    return list(setting_warnings(from_json(json.dumps(written))))


def test_seconds_that_were_written_as_milliseconds_are_told_with_what_to_write() -> None:
    assert warnings({"timeouts": {"connect": 3}}) == [
        'timeouts.connect: 3ms is very short; a number without a unit is milliseconds: for seconds write "3s"'
    ]


@pytest.mark.parametrize(
    "written",
    [
        {"timeouts": {"store": 5}},
        {"timeouts": {"store": "9.9ms"}},
        {"timeouts": {"idle": "60"}},
        {"timeouts": {"keepAlive": 75}},
        {"healthCheckInterval": 2},
        {"threshold": 60},
        {"healthCheck": {"timeout": 5}},
        {"gracefulTimeout": 10},
        {"retireTimeout": 60},
        {"webhook": {"timeout": 10}},
    ],
)
def test_whatever_is_too_short_to_be_meant_is_told(written: dict[str, Any]) -> None:
    assert len(warnings(written)) == 1


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"timeouts": {"store": 10, "connect": "100ms", "idle": 500}},
        {"gracefulTimeout": 0, "retireTimeout": "0s"},
        {"healthCheckInterval": "100ms", "threshold": 2000},
        {"limits": {"clients": 3}, "maxRetries": 3},
    ],
)
def test_what_may_be_meant_is_not(written: dict[str, Any]) -> None:
    assert warnings(written) == []


def test_no_duration_escapes() -> None:
    """Each that the reference shows with a unit."""
    defaults = json.loads(to_json(Config()))
    durations = [
        setting
        for setting in settings()
        if isinstance(value := setting.value_in(defaults), str) and value[-1] in "smh" and value[0].isdigit()
    ]
    assert len(durations) >= 13
    for setting in durations:
        written: Any = 1
        for key in reversed(setting.keys):
            written = {key: written}
        assert len(warnings(written)) == 1, setting
