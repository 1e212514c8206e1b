"""One use of a command: who acts, on which store, and how the outcome is told."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, wraps
from typing import TypeVar

import click

from lb.admin import output
from lb.admin.failures import REFUSED, Refusal, complain, warn
from lb.admin.options import common_options
from lb.admin.rates import Sampler
from lb.admin.target import Target, find_target
from lb.api.serialise import Json
from lb.errors import LBError, StoreError, StoreUnreachableError
from lb.store.client import open_fleet, open_metrics, open_pool
from lb.store.fleet import Fleet
from lb.store.pool import BackendPool
from lb.store.values import printable
from lb.terminal import reader_left, write_no_more

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Operator:
    """What a command works with. The store is found and opened on first use."""

    def __init__(self, redis: str | None, config: str | None, *, as_json: bool) -> None:
        self._redis = redis
        self._config = config
        self.as_json = as_json
        self.failed = False  # whether a part of the command was refused, see `each`
        self.unread = False  # whether who read the output has left; what is to be done is done all the same

    @cached_property
    def target(self) -> Target:
        """The store that the command is for."""
        return find_target(self._redis, self._config, os.environ)

    @cached_property
    def pool(self) -> BackendPool:
        """The pool in that store."""
        return open_pool(self.target.url, self.target.keys)

    @cached_property
    def fleet(self) -> Fleet:
        """The workers that use it."""
        return open_fleet(self.target.url, self.target.keys)

    @cached_property
    def rates(self) -> Sampler:
        """What its hosts have counted of late."""
        return Sampler(open_metrics(self.target.url, self.target.keys))

    @cached_property
    def by(self) -> str:
        """Who acts, for the events."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container often has no name for its user
            user = f"uid {os.getuid()}"
        return f"lb-admin ({user}@{socket.gethostname()})"

    def each(self, items: Iterable[_Item], act: Callable[[_Item], _Result]) -> Iterator[_Result]:
        """Do `act` on every item; a refused one is reported at once, the others are done all the same."""
        for item in items:
            try:
                yield act(item)
            except StoreError:
                raise
            except LBError as error:
                self.failed = True
                complain(str(error))

    def say(self, text: str) -> None:
        """Print a line for people; nothing under --json."""
        if not self.as_json:
            self.write(printable(text))

    def warn_if_none_eligible(self) -> None:
        """Say so if no server of the pool may get requests; that is no refusal."""
        pool = self.pool.snapshot()
        if pool.fails_open:
            warn("no server that is left is up: requests go to all that are ready")
        elif not any(server.eligible for server in pool.servers):
            warn("no eligible server is left: requests get 503")

    def warn_if_unused(self) -> None:
        """Say so if no balancer is at work with this pool: it may be another one that is meant."""
        if not self.fleet.workers():
            keys = self.target.keys
            warn(f'no worker is in the pool "{keys.pool}" (keyPrefix "{keys.prefix}") of this store')

    def show_json(self, value: Json | Iterable[Json]) -> None:
        """Print the outcome for programs; nothing without --json."""
        if self.as_json:
            self.write(output.json_text(value))

    def write(self, line: str) -> None:
        """Print a line; a reader that has had enough ends nothing but the printing."""
        try:
            click.echo(line)
        except BrokenPipeError:
            if not reader_left():
                raise
            self.unread = True
            write_no_more()


def operator_command(function: Callable[..., None]) -> Callable[..., None]:
    """Add the common options to a command; it gets the `Operator` that they make as its first argument."""

    @wraps(function)
    def run(redis: str | None, config: str | None, *, as_json: bool, **arguments: object) -> None:
        context = click.get_current_context()
        before = context.parent.params if context.parent else {}
        operator = Operator(
            redis or before.get("redis"),
            config or before.get("config"),
            as_json=as_json or before.get("as_json", False),
        )
        try:
            function(operator, **arguments)
        except StoreUnreachableError as error:
            raise Refusal(f"{error}\n{operator.target.advice}") from error
        if operator.failed:
            context.exit(REFUSED)

    return common_options(run)
