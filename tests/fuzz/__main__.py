"""`python -m tests.fuzz TARGET --seconds N`: feeds a target with inputs that reach ever more of its code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

NAMES = ("request-head", "response-head", "chunked-body", "connection")


@click.command()
@click.argument("name", metavar="TARGET", type=click.Choice(NAMES))
@click.option(
    "--seconds",
    default=60,
    show_default=True,
    type=click.IntRange(0),
    help="How long; 0 runs the seeds alone, which needs no fuzzer.",
)
@click.option(
    "--inputs", default=0, help="So many inputs, the same ones each time, instead of ever new ones."
)
@click.option("--longest", default=1000, show_default=True, help="Longest input, in bytes.")
@click.option("--again", metavar="HEX", help="Run this input alone, as a failure has named it.")
def main(name: str, seconds: int, inputs: int, longest: int, again: str | None) -> None:
    """Fuzz a target; exit with an error and the input if one breaks it."""
    if again is not None or not seconds:
        check, seeds = _target(name)
        for data in seeds if again is None else (bytes.fromhex(again),):
            check(data)
        return
    with TemporaryDirectory(prefix="lb-fuzz-") as corpus:
        limits = [f"-max_total_time={seconds}", f"-max_len={longest}"]
        _fuzz(name, Path(corpus), [*limits, f"-runs={inputs}", "-seed=1"] if inputs else limits)


def _fuzz(name: str, corpus: Path, limits: Sequence[str]) -> None:
    import atheris  # noqa: PLC0415 (not there for every Python)

    with atheris.instrument_imports(include=["lb.proxy"]):
        check, seeds = _target(name)
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)

    def run(data: bytes) -> None:
        try:
            check(data)
        except BaseException:
            click.echo(f"broken by: python -m tests.fuzz {name} --again {data.hex()}", err=True)
            raise

    statistics = "-print_final_stats=1"
    atheris.Setup([sys.argv[0], *limits, statistics, f"-artifact_prefix={corpus}/", str(corpus)], run)
    atheris.Fuzz()  # ends the process


def _target(name: str) -> tuple[Callable[[bytes], None], Sequence[bytes]]:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 (what it imports is instrumented while it does)

    return TARGETS[name]


if __name__ == "__main__":
    main()
