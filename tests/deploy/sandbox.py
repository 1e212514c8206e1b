"""A program under what lb.service restricts, as far as that can be had without systemd.

    unshare --mount --pid --fork --kill-child python -m tests.deploy.sandbox DATA_DIRECTORY PROGRAM …

One directory may be written to and nothing else; /proc shows processes alone; no rights, none to be had;
memory is either written to or executed. Needs root, in namespaces of its own.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1


def main(directory: str, *command: str) -> None:
    for options in (
        ["--make-rprivate", "/"],
        ["-t", "proc", "-o", "hidepid=invisible,subset=pid", "proc", "/proc"],
        ["--bind", directory, directory],
        ["-o", "remount,bind,ro", "/"],
    ):
        subprocess.run(["mount", *options], check=True)
    # Kernels before 6.3 know no such thing, and let it be.
    ctypes.CDLL(None).prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)
    rights = ("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs")
    os.execvp("setpriv", ["setpriv", *rights, *command])


if __name__ == "__main__":
    main(*sys.argv[1:])
