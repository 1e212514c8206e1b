"""What stands on the command line, as types: servers by URL or id, durations. Wrong ones end with 2."""

from __future__ import annotations

from typing import Any

import click

from lb import config
from lb.config.values import parse_positive_duration
from lb.errors import UsageError


class _Parsed(click.ParamType):  # type: ignore[type-arg]  # generic in new versions of click only
    """A parameter that one of the config's parsers understands."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except (UsageError, ValueError) as error:
            self.fail(str(error), param, ctx)


#: A new server by its URL → ServerSpec.
URL = _Parsed("url", config.parse_server_url)
#: A server of the pool, as its id or its URL → ServerId.
SERVER = _Parsed("server", config.normalise_server_id)
#: "300s", "5m" → float seconds.
DURATION = _Parsed("duration", config.parse_duration)
#: The same, and more than nothing.
INTERVAL = _Parsed("duration", parse_positive_duration)
WEIGHT = click.IntRange(1, 256)
