"""Real servers that run `lb.wsgi:application` as processes of their own, on free ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import eventually

_LISTENING = re.compile(r"http://127\.0\.0\.1:(\d+)")
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0

#: What a user puts into gunicorn.conf.py so that workers join before their first request.
_JOIN_AT_ONCE = "def post_worker_init(worker):\n    worker.wsgi.start()\n"

_PYWSGI = """
from gevent import monkey
monkey.patch_all()
from gevent.pywsgi import WSGIServer
from lb.wsgi import application
application.start()
server = WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""

#: The checker of PEP 3333 around the application, in a server of threads. It wants a Content-Type on every
#: response that can have a body, which HTTP does not.
_CHECKED = """
import logging
import wsgiref.validate
import waitress
from lb.wsgi import application


def typed(environ, start_response):
    def start(status, headers):
        names = {name.lower() for name, _ in headers}
        lacking = status[:3] not in ("204", "304") and "content-type" not in names
        return start_response(status, headers + [("Content-Type", "x/y")] * lacking)

    return application(environ, start)


logging.basicConfig(level=logging.INFO)
application.start()
waitress.serve(wsgiref.validate.validator(typed), listen="127.0.0.1:0", threads=16)
"""


def _gunicorn(*options: str) -> list[str]:
    program = str(Path(sys.executable).with_name("gunicorn"))
    fixed = ["-b", "127.0.0.1:0", "-c", "gunicorn.conf.py", "--graceful-timeout", "5"]
    return [program, *fixed, *options, "lb.wsgi:application"]


#: The commands of the servers that are tried. Those of several processes have two.
SERVERS: dict[str, list[str]] = {
    "gunicorn-gevent": _gunicorn("-k", "gevent", "-w", "2"),
    "gunicorn-gthread": _gunicorn("-k", "gthread", "-w", "2", "--threads", "8"),
    "gunicorn-sync": _gunicorn("-k", "sync", "-w", "2"),
    "waitress-validated": [sys.executable, "-c", _CHECKED],
    "pywsgi": [sys.executable, "-c", _PYWSGI],
}


class Host:
    """One server, from entry to exit; `config` is what config.json holds."""

    def __init__(
        self, command: Sequence[str], config: Mapping[str, Any], environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lb-"))
        (self.home / "config.json").write_text(json.dumps(config))
        (self.home / "gunicorn.conf.py").write_text(_JOIN_AT_ONCE)
        self.command = command
        self.url = ""
        self._log = self.home / "log"
        self._environment = {**os.environ, "HOME": str(self.home), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Host:
        try:
            self.start()
            self.url = eventually(self._listening, seconds=_START_SECONDS, what="a server that listens")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self.worker_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        if self._process is not None:
            self.stop()
        shutil.rmtree(self.home)

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process, "not started"
        return self._process

    def start(self) -> None:
        """Start it, and wait for nothing."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self) -> int:
        """Wait until it has ended by itself, and return the exit status."""
        return self.process.wait(_STOP_SECONDS)

    def stop(self) -> None:
        """Ask it to end; who does not in time is killed with its workers."""
        pids = self.worker_pids()
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"it does not end:\n{self.log}") from None

    def worker_pids(self) -> list[int]:
        """Process ids of gunicorn's workers."""
        if self._process is None:
            return []
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with suppress(FileNotFoundError):
            return [int(pid) for pid in children.read_text().split()]
        return []

    def _listening(self) -> str | None:
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
        found = _LISTENING.search(self.log)
        return found[0] if found else None
