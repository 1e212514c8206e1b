"""`lb-admin`: the operator's commands, one file each, straight on the store.

Nothing heavy is imported here: a command's module is loaded when the command is used, so `--help` is quick.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

import click

import lb
from lb.admin.failures import refusals
from lb.admin.options import common_options

#: Name → what `lb-admin --help` says of it. The command is `command` in the module of its name.
COMMANDS = {
    "add": "Add servers to the pool.",
    "remove": "Take servers out of the pool at once.",
    "restore": "Bring back removed servers.",
    "drain": "Give servers no new requests; open ones finish.",
    "undrain": "Make servers ready for requests again.",
    "maint": "Put servers in maintenance: drain, and no health checks.",
    "weight": "Set a server's share of the requests.",
    "list": "Show the servers, with their states and live figures.",
    "status": "Show the whole balancer on one screen.",
    "strategy": "Show or set the strategy.",
    "events": "Show what happened, and what happens.",
}


class _Commands(click.Group):
    """Loads a command on its first use, and turns errors into exit statuses."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"lb.admin.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], COMMANDS, n=1)
        if near and args[0] not in COMMANDS:
            ctx.fail(f"no such command: {args[0]}; did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        with refusals():
            return super().invoke(ctx)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@common_options
@click.version_option(lb.__version__, prog_name="lb-admin", message="%(prog)s %(version)s")
def main(**_options: object) -> None:
    """Change and watch the backend pool of a running balancer.

    The commands work on the store that the balancer uses: --redis names it, or --config the file that does,
    else ./config.json, else the embedded store of ./.lb, where `lb run` keeps its own. What a command has
    changed holds for every worker on every host when it returns.

    \b
    Examples:
      lb-admin add http://localhost:5006
      lb-admin drain localhost:5001 --wait && lb-admin remove localhost:5001
      lb-admin --redis redis://cache.example:6379/0 list
      lb-admin list --json | jq '.[] | select(.eligible | not)'

    \b
    Exit status: 0 done, 1 refused or failed (the reason is on standard error), 2 wrong usage.
    """
