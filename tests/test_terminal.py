from __future__ import annotations

import errno
import os
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


def test_a_locale_without_utf_8_is_no_reason_to_fail(tmp_path: Path) -> None:
    """Files of our own are UTF-8 whatever the locale says, and what it cannot write is a question mark."""
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    program = (
        "from lb.store.scripts import load\n"
        "from lb.terminal import output_of\n"
        "load('lease')\n"
        "with output_of('lb'): print('one \\u2014 two')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "one ? two\n"


def test_closed_streams_are_no_place_for_sockets(tmp_path: Path) -> None:
    """As where a script closes them to detach a process: `lb run <&- >&- 2>&-`."""
    program = (
        "import os, sys\n"
        "for descriptor in (0, 1, 2): os.close(descriptor)\n"
        "sys.stdout = sys.stderr = None\n"  # as the interpreter has them when it begins so
        "from lb.terminal import open_streams\n"
        "open_streams()\n"
        "print('nobody reads this', file=sys.stderr)\n"
        "ends = [os.readlink(f'/proc/self/fd/{descriptor}') for descriptor in (0, 1, 2)]\n"
        "open('ends', 'w').write(' '.join(ends))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "ends").read_text() == "/dev/null /dev/null /dev/null"
