from __future__ import annotations

import re
import subprocess
import sys


def test_lines_have_the_time_and_say_who() -> None:
    program = (
        "import logging; from lb.processes import log; log.configure('worker 7')\n"
        "logging.getLogger('lb.proxy').info('hello')\n"
        "logging.getLogger('lb.proxy').debug('hidden')\n"
        "logging.getLogger('urllib3').info('hidden')\n"
        "logging.getLogger('urllib3').warning('odd')\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"{when} lb\[worker 7\] hello\n{when} lb\[worker 7\] odd\n", said.stderr)
    assert said.stdout == ""
