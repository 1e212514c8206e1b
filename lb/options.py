"""The options that the commands of `lb` share, and what they make of them."""

# ruff: noqa: PLC0415 (a help text needs no configuration)

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

_Command = Callable[..., Any]

FILE = click.Path(path_type=Path)
_SETTINGS = (
    click.option("--config", type=FILE, metavar="FILE", help="Default: config.json, if it exists."),
    click.option("--port", metavar="[HOST]:PORT", help="Where clients connect. Default: :8080."),
    click.option("--workers", metavar="N", help="Worker processes. Default: one per processor core."),
    click.option("--redis", metavar="URL", help="The store. Default: an embedded one in the data directory."),
    click.option("--data-dir", metavar="DIR", help="Directory of the embedded store. Default: .lb."),
    click.option("--server", "servers", multiple=True, metavar="URL", help="A server; give it for each."),
    click.option("--strategy", metavar="NAME", help="How servers are picked. Default: round-robin."),
    click.option("--access-log", metavar="PATH", help="Log requests to a file or stdout. Default: off."),
    click.option("--access-log-format", metavar="NAME", help="combined or json. Default: combined."),
    click.option("--log-format", metavar="NAME", help="Of the other messages: text or json. Default: text."),
)
_SETTING_NAMES = (
    "port",
    "workers",
    "redis",
    "data_dir",
    "servers",
    "strategy",
    "access_log",
    "access_log_format",
    "log_format",
)
_INHERITED_NAMES = ("control_fd", "config_fd", "listen_fd", "scoreboard_fd", "slot")
_INHERITED = tuple(
    click.option(f"--{name.replace('_', '-')}", type=int, hidden=True) for name in _INHERITED_NAMES
)


def with_settings(command: _Command) -> _Command:
    """Give a command the options of all roles; it gets them as one function that loads the configuration."""

    @functools.wraps(command)
    def with_load(config: Path | None, **others: Any) -> Any:
        overrides = {name: others.pop(name) for name in _SETTING_NAMES}
        return command(load=functools.partial(load_from, config, overrides), **others)

    return _apply(_SETTINGS, with_load)


def with_inherited(command: _Command) -> _Command:
    """Give a command the descriptors that a supervisor passes on, as one value."""

    @functools.wraps(command)
    def with_value(**others: Any) -> Any:
        from lb.processes.role import Inherited

        passed_on = {name: others.pop(name) for name in _INHERITED_NAMES}
        return command(inherited=Inherited(**passed_on), **others)

    return _apply(_INHERITED, with_value)


def _apply(decorators: Iterable[Callable[[_Command], _Command]], command: _Command) -> _Command:
    return functools.reduce(lambda wrapped, decorator: decorator(wrapped), reversed([*decorators]), command)


def examples(*commands: str) -> str:
    """Write them as the end of a help text."""
    return "\n".join(("\b", "Examples:", *(f"  {command}" for command in commands)))


def load_from(path: Path | None, overrides: dict[str, Any], read: Callable[..., Any] | None = None) -> Any:
    """Load the configuration, or `read` from the same places."""
    from lb.config import load

    return (read or load)(path, os.environ, overrides)


def warn_of_environment() -> None:
    """Tell of what in the environment was perhaps meant for us and has no effect."""
    from lb.config import environment_warnings

    for warning in environment_warnings(os.environ):
        click.echo(f"lb: warning: {warning}", err=True)
