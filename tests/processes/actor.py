"""Plays any role for the supervisor's tests, without loading what a real role does: see `stage`.

The play is a JSON object in the environment, role → list of words, one word per start (the last one stays):
"live" becomes ready, beats and ends on SIGTERM; "mute" becomes ready and falls silent; "stubborn" lives and
ignores SIGTERM; "done" ends with status 0; "fail" ends with status 3.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path

PLAY = "ACTOR_PLAY"
NOTES = "ACTOR_NOTES"  # a directory: each start leaves a file "role pid"


def main() -> int:
    role, control = sys.argv[1], int(sys.argv[sys.argv.index("--control-fd") + 1])
    notes = Path(os.environ[NOTES])
    words = json.loads(os.environ[PLAY]).get(role, ["live"])
    word = words[min(len(list(notes.glob(f"{role} *"))), len(words) - 1)]
    (notes / f"{role} {os.getpid()}").touch()
    if word == "done":
        return 0
    if word == "fail":
        return 3
    if word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(control, b"R")
    while not select.select([control], [], [], 0.05)[0]:
        if word != "mute":
            os.write(control, b".")
    return 0  # the supervisor is gone


if __name__ == "__main__":
    sys.exit(main())
