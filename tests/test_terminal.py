from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from lb.terminal import output_of


@pytest.mark.parametrize("arguments", [["--help"], ["config", "--reference"], ["--version"]])
def test_output_that_cannot_be_written_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        outcome = subprocess.run(
            [sys.executable, "-m", "lb", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert outcome.returncode == 1
    assert outcome.stderr == "lb: error: cannot write to standard output: no space left on device\n"


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EPIPE])
def test_other_errors_are_left_to_others(number: int) -> None:
    with pytest.raises(OSError, match="boom"), output_of("lb"):
        raise OSError(number, "boom")
