"""Plays any role for the supervisor's tests, without loading what a real role does: see `stage`.

The play is a JSON object in the environment, role → list of words, one word per start (the last one stays):
"live" becomes ready, beats and ends on SIGTERM; "mute" becomes ready and falls silent; "stubborn" lives and
ignores SIGTERM; "done" ends with status 0; "fail" ends with status 3; "die" is killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path

PLAY = "ACTOR_PLAY"
NOTES = "ACTOR_NOTES"  # a directory: each start leaves a file "role pid", an end on SIGTERM "role.ended"


ENDS = {"done": 0, "fail": 3}


def main() -> int:
    role, control = sys.argv[1], int(sys.argv[sys.argv.index("--control-fd") + 1])
    notes = Path(os.environ[NOTES])
    words = json.loads(os.environ[PLAY]).get(role, ["live"])
    word = words[min(len(list(notes.glob(f"{role} *"))), len(words) - 1)]
    told = signal.SIG_IGN if word == "stubborn" else lambda *_: sys.exit((notes / f"{role}.ended").touch())
    signal.signal(signal.SIGTERM, told)
    (notes / f"{role} {os.getpid()}").touch()
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word in ENDS:
        return ENDS[word]
    os.write(control, b"R")
    while not select.select([control], [], [], 0.05)[0]:
        if word != "mute":
            os.write(control, b".")
    return 0  # the supervisor is gone


if __name__ == "__main__":
    sys.exit(main())
