"""How a command fails: one line on standard error and the exit status. The only place that decides either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

from lb.errors import LBError, UsageError
from lb.store.values import printable_lines

REFUSED = 1


class Refusal(click.ClickException):
    """Ends the command with the reason why it could not be done."""

    exit_code = REFUSED

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the reason."""
        complain(self.message, file)


class WrongUsage(Refusal):
    """Ends the command because what was asked for is malformed."""

    exit_code = 2  # as click's own


def complain(message: str, file: IO[Any] | None = None) -> None:
    """Print an error without ending the command."""
    with suppress(BrokenPipeError):  # nobody reads it: the status still tells
        click.echo(f"lb-admin: error: {printable_lines(message)}", file=file, err=file is None)


def warn(message: str) -> None:
    """Print what an operator should know of an act that is done."""
    with suppress(BrokenPipeError):
        click.echo(f"lb-admin: warning: {printable_lines(message)}", err=True)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the balancer's own errors into refusals."""
    try:
        yield
    except UsageError as error:
        raise WrongUsage(str(error)) from error
    except LBError as error:
        raise Refusal(str(error)) from error
