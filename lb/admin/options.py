"""The options that every command has. They may stand before the command too: `lb-admin --redis URL list`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

_Target = TypeVar("_Target", bound=Callable[..., object])

# No `envvar`: an option before the command must win over the environment, which the command would read again.
_OPTIONS = (
    click.option("--redis", metavar="URL", help="The store, such as redis://host:6379/0.  [env: LB_REDIS]"),
    click.option(
        "--config",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        help="A config.json that names the store; the default is the one here.  [env: LB_CONFIG]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs."),
)


def common_options(target: _Target) -> _Target:
    """Add them to a group or a command."""
    for option in reversed(_OPTIONS):
        target = option(target)
    return target
