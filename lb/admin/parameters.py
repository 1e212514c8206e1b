"""What stands on the command line, as types: servers by URL or id, durations. Wrong ones end with 2."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from lb import config
from lb.config.values import one_of, shown, whole_number
from lb.errors import UsageError
from lb.model import MAX_WEIGHT
from lb.strategies import STRATEGIES

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_LEAST_INTERVAL_SECONDS = 0.1


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


class _Known(_Parsed):
    """A server that the store has: Tab offers it."""

    def __init__(self, *, removed: bool = False) -> None:
        super().__init__("server", config.normalise_server_id)
        self._removed = removed

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list[CompletionItem[str]]:
        """Return the servers that begin so and are not on the command line yet."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - when a shell asks only

        from lb.admin.completion import server_ids  # noqa: PLC0415

        given = ctx.params.get(param.name or "") if param.nargs != 1 else None
        ids = set(server_ids(ctx, removed=self._removed)) - set(given or ())
        return [CompletionItem(server) for server in sorted(ids) if server.startswith(incomplete)]


def _interval(text: str) -> float:
    seconds = config.parse_duration(text)
    if seconds < _LEAST_INTERVAL_SECONDS:
        raise ValueError(
            f'expected {config.format_duration(_LEAST_INTERVAL_SECONDS)} or more, such as "2s" '
            f"(a bare number is milliseconds); got {shown(text)}"
        )
    return seconds


#: A new server by its URL → ServerSpec.
URL = _Parsed("url", config.parse_server_url)
#: A server of the pool, as its id or its URL → ServerId.
SERVER = _Known()
#: One that left the pool, likewise.
REMOVED_SERVER = _Known(removed=True)
#: "300s", "5m" → float seconds.
DURATION = _Parsed("duration", config.parse_duration)
#: The same, and not so short that looking would load the store.
INTERVAL = _Parsed("duration", _interval)
WEIGHT = _Parsed("number", whole_number(1, MAX_WEIGHT))
#: So many events → int.
EVENT_COUNT = _Parsed("number", whole_number(0, 1000))


class _Word(click.Choice):  # type: ignore[type-arg]
    """One of some words; a wrong one is told which is near."""

    def __init__(self, words: Collection[str]) -> None:
        super().__init__(words)
        self._parse = one_of(words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


STRATEGY = _Word(list(STRATEGIES))
