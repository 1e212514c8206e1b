from __future__ import annotations

import os
import signal
import sys

from lb.processes.adopted import Adopted
from tests.support import eventually


def child(code: str) -> Adopted:
    return Adopted(os.posix_spawn(sys.executable, [sys.executable, "-c", code], {}))


def test_it_is_told_how_its_child_ended() -> None:
    adopted = child("raise SystemExit(3)")
    assert eventually(lambda: adopted.poll() == 3)
    adopted.send_signal(signal.SIGTERM)  # the pid may be another's by now
    assert adopted.returncode == 3


def test_it_can_end_its_child() -> None:
    adopted = child("import time; time.sleep(60)")
    assert adopted.poll() is None
    adopted.send_signal(signal.SIGTERM)
    assert eventually(lambda: adopted.poll() == -signal.SIGTERM)
