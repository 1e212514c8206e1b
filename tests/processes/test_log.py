from __future__ import annotations

import json
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


def test_json_is_an_object_per_line() -> None:
    program = (
        "import logging; from lb.processes import log; log.configure('worker 7', 'json')\n"
        "lb = logging.getLogger('lb')\n"
        "lb.info('two\\nlines, caf\u00e9 %d', 1)\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError: lb.exception('odd')\n"
        "log.say('lb: listening'); log.say('lb: error: so what', logging.ERROR)\n"
        "log.use('text'); lb.info('plain'); log.say('lb: listening')\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *objects, plain, listening = said.stderr.splitlines()
    told, failed, said_so, error = map(json.loads, objects)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert told == {"level": "info", "process": "worker 7", "message": "two\nlines, caf\u00e9 1"}
    assert (failed["level"], failed["message"]) == ("error", "odd")
    assert failed["exception"].splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert (said_so["level"], said_so["message"]) == ("info", "listening")
    assert (error["level"], error["message"]) == ("error", "error: so what")
    assert plain.endswith(" lb[worker 7] plain")
    assert listening == "lb: listening"


def test_nobody_waits_for_a_reader_that_stalls() -> None:
    program = (
        "import logging; from lb.processes import log; log.configure('worker 7')\n"
        "for number in range(3000): logging.getLogger('lb').info('x' * 900)\n"
        "print('done', flush=True)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"


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
