"""A click group whose commands are imported when they are used, so that its help costs nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from lb.admin.failures import refusals
from lb.terminal import Commands, output_of

#: Set while a shell asks what a word may become.
_COMPLETES = "_LB_ADMIN_COMPLETE"


class LazyGroup(Commands):
    """Finds the command NAME as `command` in the module NAME of `package`; errors end it with a status."""

    def __init__(self, *arguments: Any, package: str, summaries: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._package = package
        self._summaries = summaries

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the help."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None if there is none of that name."""
        if cmd_name not in self._summaries:
            return None
        command: click.Command = import_module(f"{self._package}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant, or name the one that may be."""
        near = get_close_matches(args[0], self._summaries, n=1)
        if near and args[0] not in self._summaries and not ctx.resilient_parsing:
            ctx.fail(f"no such command: {args[0]}; did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run as a program."""
        if _COMPLETES in os.environ:
            import_module(f"{self._package}.completion")
        with output_of("lb-admin"):
            return super().main(*arguments, **options)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        with refusals():
            return super().invoke(ctx)
