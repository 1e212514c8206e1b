from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lb.config import Config
from lb.wsgi import app
from lb.wsgi.app import Application


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The forwarders that were made, which take a while."""
    made: list[object] = []

    def make(_config: Config) -> object:
        threading.Event().wait(0.02)
        made.append(object())
        return made[-1]

    monkeypatch.setattr(app, "_join", make)
    return made


def test_the_import_makes_nothing_that_gevent_would_have_to_patch_first() -> None:
    code = """
import sys
from lb.wsgi import application
assert not {"gevent", "urllib3", "redis", "ssl", "lb.wsgi.forward"} & set(sys.modules), sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd="/")


def test_what_takes_a_while_is_imported_at_once_where_gevent_has_patched() -> None:
    code = """
from gevent import monkey
monkey.patch_all()
import sys
from lb.wsgi import application
assert "lb.wsgi.forward" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd="/")


def test_a_process_starts_once(made: list[object]) -> None:
    application = Application(Config())
    with ThreadPoolExecutor(8) as pool:
        starts = [pool.submit(application.start) for _ in range(8)]
    assert [*{start.result() for start in starts}] == made


def test_a_process_that_was_forked_starts_for_itself(
    made: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    application: Any = Application(Config())
    first = application.start()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert application.start() is not first
    assert application.start() is made[-1]
    assert len(made) == 2


def test_a_lock_that_another_process_holds_stops_nobody(
    made: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork may come while a thread of the parent starts."""
    application: Any = Application(Config())
    application._locks[os.getpid()] = held = threading.Lock()
    held.acquire()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    application.start()
    assert len(made) == 1
