"""What Tab offers for a server: the ids in the pool, or of the removed, if the store tells soon enough."""

from __future__ import annotations

import os

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from lb.admin.target import find_target
from lb.errors import LBError
from lb.model import ServerId
from lb.store.client import open_pool

#: Nobody waits longer for a word to be completed.
_PATIENCE_SECONDS = 0.3


def server_ids(context: click.Context, *, removed: bool) -> list[ServerId]:
    """Return the ids that the command line may go on with; none if the store is not to be had."""
    before = context.parent.params if context.parent else {}
    redis, config = (context.params.get(name) or before.get(name) for name in ("redis", "config"))
    try:
        target = find_target(redis, config, os.environ)
        pool = open_pool(target.url, target.keys, timeout_seconds=_PATIENCE_SECONDS)
        servers = pool.removed() if removed else pool.snapshot().servers
    except (LBError, OSError):
        return []
    return [server.id for server in servers]


@add_completion_class
class Bash(BashComplete):
    """bash ends words at colons: localhost:5001 comes as three, and only the last is replaced."""

    _replaced_from = 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """Put together what bash has split."""
        before, last = super().get_completion_args()
        whole = [""]
        for word in (*before, last):
            colon = word.strip(":") == "" != word
            if colon or whole[-1].endswith(":"):
                whole[-1] += word
            else:
                whole.append(word)
        *arguments, incomplete = whole[1:]
        if incomplete != last:
            self._replaced_from = incomplete.rfind(":") + 1
        return arguments, incomplete

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Give bash what comes behind the last colon."""
        return f"{item.type},{item.value[self._replaced_from :]}"
