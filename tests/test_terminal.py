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
    """Also that of a connection whose other end is gone, while standard output is read."""
    with pytest.raises(OSError, match="boom"), output_of("lb"):
        raise OSError(number, "boom")


@pytest.mark.parametrize(
    "command",
    [
        ["lb", "--help"],
        ["lb", "--version"],
        ["lb", "run", "--help"],
        ["lb", "config"],
        ["lb", "config", "--schema"],
        ["lb", "config", "--reference"],
        ["lb", "check"],
        ["lb-admin", "--help"],
        ["lb-admin", "--version"],
        ["lb-admin", "events", "--help"],
    ],
    ids=" ".join,
)
def test_a_reader_that_has_had_enough_is_no_failure(command: list[str], tmp_path: Path) -> None:
    """As `| head -1`, which ends after a line."""
    (tmp_path / "config.json").write_text("{}")
    assert unread(command, tmp_path) == (0, "")


def test_what_is_wrong_is_wrong_also_if_nobody_reads_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"prt": 1, "servrs": []}')
    assert unread(["lb", "check"], tmp_path, stderr=subprocess.STDOUT) == (1, None)
    assert unread(["lb", "no-such-command"], tmp_path)[0] == 2


def unread(command: list[str], place: Path, stderr: int = subprocess.PIPE) -> tuple[int, str | None]:
    """Run a command whose output nobody reads; return its status and what it said of that."""
    program, *arguments = command
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as output:
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=place,
            stdout=output,
            stderr=stderr,
            text=True,
            check=False,
        )
    return done.returncode, done.stderr


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
