from __future__ import annotations

import io
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest
import redis

from lb.store.keys import Keys
from tests.support import eventually


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


def test_what_others_said_drives_no_terminal() -> None:
    program = (
        "import logging; from lb.processes import log; log.configure('worker 7')\n"
        "logging.getLogger('lb').warning('%s is down: %s', 'a\\x1b[2J:1', '\\x07\\r\\u202e')\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stderr.decode()
    assert said.endswith(" lb[worker 7] a\ufffd[2J:1 is down: \ufffd\ufffd\ufffd\n")


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


@dataclass
class Reader:
    """The other end of standard error, whose reader does not begin to read until it is told to."""

    stream: socket.socket | io.BufferedReader
    writer: int

    def reads(self, pattern: str) -> str:
        """Read until something matches."""
        text, deadline = "", time.monotonic() + 30
        while not re.search(pattern, text):
            assert time.monotonic() < deadline, f"no {pattern} in {text.strip()}"
            if select.select([self.stream], [], [], 0.1)[0]:
                text += os.read(self.stream.fileno(), 1 << 16).decode()
        return text


@pytest.fixture(params=["pipe", "socket"])
def stalled(request: pytest.FixtureRequest) -> Iterator[Reader]:
    """One that has no room for a single line."""
    with ExitStack() as stack:
        ends = socket.socketpair() if request.param == "socket" else map(os.fdopen, os.pipe(), ("rb", "wb"))
        stream, writer = map(stack.enter_context, ends)
        os.set_blocking(writer.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer.fileno(), 4096 * b"\n")
        os.set_blocking(writer.fileno(), True)
        yield Reader(stream, writer.fileno())


@contextmanager
def running(
    command: Sequence[str], stderr: int, fds: Sequence[int] = (), **environ: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=fds,
        env={**os.environ, **environ},
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()


def says_done(process: subprocess.Popen[str]) -> bool:
    assert process.stdout
    return process.stdout.readline() == "done\n"


LOGS = (
    "import logging, sys, time; from lb.processes import log; log.configure('worker 7')\n"
    "lb = logging.getLogger('lb'); done = lambda: print('done', flush=True)\n"
)


def test_nobody_waits_for_a_reader_that_stalls(stalled: Reader) -> None:
    program = LOGS + "for number in range(3000): lb.info('x' * 900)\nlog.say('lb: on'); done()"
    with running(["-c", program], stalled.writer) as process:
        assert says_done(process)


def answers(address: str | tuple[str, int]) -> bool:
    """Whether an HTTP server does."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as sock:
        sock.settimeout(10)
        with suppress(OSError):
            sock.connect(address)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return sock.recv(9) == b"HTTP/1.1 "
    return False


@pytest.mark.parametrize("stalled", ["pipe"], indirect=True)
@pytest.mark.parametrize("role", ["run", "worker", "health-checker", "api"])
def test_what_a_reader_missed_comes_when_it_is_back(
    role: str, stalled: Reader, connection: redis.Redis, keys: Keys, store_url: str
) -> None:
    """Though the process has nothing more to say."""
    with (
        tempfile.TemporaryDirectory(prefix="lb-") as home,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        path, fd = f"{home}/lb.sock", listener.fileno()
        environ = {"LB_REDIS": store_url, "LB_KEY_PREFIX": keys.prefix}
        ports = {"LB_PORT": f"unix:{path}", "LB_ADMIN_LISTEN": "127.0.0.1:0"}
        command = ["-m", "lb", role, *(["--listen-fd", str(fd)] if role in ("worker", "api") else [])]
        with running(command, stalled.writer, [fd], **environ, **ports):
            if role == "health-checker":
                eventually(lambda: connection.exists(keys.checker), seconds=30)
            else:
                eventually(lambda: answers(path if role == "run" else listener.getsockname()), seconds=30)
            stalled.reads(rf"lb\[{role} \d+\]|lb: listening")


def test_a_loop_that_waits_offers_it_again(stalled: Reader) -> None:
    program = LOGS + (
        "from lb.processes.lines import Lines\n"
        "lb.info('hello'); done()\n"
        "with Lines() as lines:\n"
        "    while True: lines.wait(None)\n"
    )
    with running(["-c", program], stalled.writer) as process:
        assert says_done(process)
        stalled.reads("hello")


@pytest.mark.parametrize(
    "start", ["", "import lb.__main__ as main; main._patch()\n"], ids=["plain", "gevent"]
)
def test_what_a_reader_missed_comes_at_the_end(start: str, stalled: Reader) -> None:
    program = (
        start
        + LOGS
        + (
            "log.FAREWELL_SECONDS = 30\n"
            "for number in range(600): lb.info('x' * 900)\n"
            "lb.info('bye'); done()\n"
        )
    )
    with running(["-c", program], stalled.writer) as process:
        assert says_done(process)
        assert stalled.reads("bye").count("xxx\n") == 600
        assert process.wait(30) == 0


def test_a_reader_that_never_comes_back_keeps_no_process_from_its_end(stalled: Reader) -> None:
    with running(["-c", LOGS + "lb.info('bye')"], stalled.writer) as process:
        assert process.wait(30) == 0


def test_what_was_lost_is_told_when_the_reader_is_back(stalled: Reader) -> None:
    program = (
        LOGS + "for number in range(3000): lb.info('x' * 900)\ndone()\nwhile log.push(): time.sleep(0.01)"
    )
    with running(["-c", program], stalled.writer) as process:
        assert says_done(process)
        text = stalled.reads("lines lost: .*\n")
    written = text.count("xxx\n")
    assert written > 1000
    assert text.endswith(f" log: lines lost: {3000 - written} (its reader does not keep up)\n")


def test_what_greenlets_fail_with_is_logged_with_a_count() -> None:
    program = (
        "import lb.__main__ as main; main._patch()\n"
        "from lb.processes import log; log.configure('worker 7')\n"
        "import gevent\n"
        "def fail(): 1 / 0\n"
        "for _ in range(3): gevent.spawn(fail).join()\n"
        "gevent.get_hub().loop.run_callback(fail); gevent.sleep(0.01)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    assert said.count("Traceback") == 1
    assert "lb[worker 7] failed: <Greenlet" in said
    assert re.search(r"lb\[worker 7\] failed: .* \(3 more in 0 s\)\n$", said)
