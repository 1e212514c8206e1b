from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

from lb.processes import log


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


def test_files_are_written_anew_after_a_rotation(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        root.warning("first")
        (tmp_path / "log").rename(tmp_path / "log.1")
        log.reopen()
        root.warning("second")
    finally:
        root.removeHandler(handler)
        handler.close()
    assert (tmp_path / "log.1").read_text() == "first\n"
    assert (tmp_path / "log").read_text() == "second\n"
