"""`lb-admin`: the operator's commands, one file each, straight on the store.

Nothing heavy is imported here: a command's module is loaded when the command is used, so `--help` is quick.
"""

from __future__ import annotations

import click

import lb
from lb.admin.lazy import LazyGroup
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
    "top": "Watch the whole balancer, live.",
    "strategy": "Show or set the strategy.",
    "events": "Show what happened, and what happens.",
}


@click.group(
    cls=LazyGroup,
    package=__name__,
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
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
    Completion by Tab, in bash; zsh_source and fish_source are for those shells:
      eval "$(_LB_ADMIN_COMPLETE=bash_source lb-admin)"

    \b
    Exit status: 0 done, 1 refused or failed (the reason is on standard error), 2 wrong usage.
    """
