from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys

import pytest

from lb.config import ListenAddress, load, to_json
from lb.processes import handover, role
from lb.processes.role import Inherited
from lb.processes.signals import CHANGES

ANYWHERE = ListenAddress("127.0.0.1", 0)


def test_without_a_supervisor_a_role_loads_its_own_config() -> None:
    config = load(None, {}, {"port": ":1"})
    assert role.begin("api", Inherited(), lambda: config) is config
    assert not Inherited().supervised


def test_a_supervisors_config_replaces_all_others() -> None:
    config = load(None, {"LB_ADMIN_TOKEN": "a-token-of-sixteen-or-more"}, {"port": ":1"})
    fd = handover.write(to_json(config))
    assert role.begin("api", Inherited(config_fd=fd), pytest.fail) == config
    with pytest.raises(OSError, match="Bad file descriptor"):  # nobody else is to inherit its secrets
        os.fstat(fd)


def test_a_single_role_listens_itself_and_shares_the_port() -> None:
    with Inherited().listener(ANYWHERE, "--port") as first:
        address = ListenAddress(*first.getsockname())
        with Inherited().listener(address, "--port") as second:
            assert first.getsockname() == second.getsockname()
            socket.create_connection(first.getsockname()).close()


def test_an_inherited_socket_is_used_as_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        with Inherited(listen_fd=socket.dup(ours.fileno())).listener(ANYWHERE, "--port") as theirs:
            assert theirs.getsockname() == ours.getsockname()


@pytest.mark.parametrize(
    ("redis", "place"),
    [
        ("redis://:secret@h:1/2", "redis://h:1/2"),
        (None, "unix:///data/store.sock"),
    ],
)
def test_a_single_role_says_what_it_does_with_which_store(
    caplog: pytest.LogCaptureFixture, redis: str | None, place: str
) -> None:
    caplog.set_level(logging.INFO)
    config = load(None, {}, {"redis": redis, "data_dir": "/data"})
    role.introduce(Inherited(), "listening on http://127.0.0.1:8080", config)
    role.introduce(Inherited(control_fd=9), "listening on http://127.0.0.1:8080", config)
    assert [record.message for record in caplog.records] == [
        f"listening on http://127.0.0.1:8080, the store is {place}"
    ]


def test_a_role_may_open_many_files() -> None:
    """With the usual limit of 1024, a worker could not hold the clients that its settings allow."""
    program = (
        "import resource; from lb.config import load; from lb.processes import role\n"
        "_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))\n"
        "role.begin('worker', role.Inherited(), lambda: load(None, {}, {}))\n"
        "soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "assert soft == (65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)), (soft, hard)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_ctrl_c_before_a_role_serves_ends_it_without_a_word() -> None:
    """Such as while it waits for the store."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import signal, time; from lb.config import load; from lb.processes import role\n"
        "role.begin('api', role.Inherited(), lambda: load(None, {}, {}))\n"
        "signal.raise_signal(signal.SIGINT); time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


BEGIN = (
    "import sys, time; from lb.config import load; from lb.processes import role\n"
    "role.begin('api', role.Inherited(control_fd=int(sys.argv[1])), lambda: load(None, {}, {}))\n"
    "print('begun', flush=True); time.sleep(60)"
)


def test_a_role_that_begins_after_its_supervisors_end_does_nothing() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        done = subprocess.run(
            [sys.executable, "-c", BEGIN, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            capture_output=True,
            check=False,
            timeout=30,
        )
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_role_of_a_supervisor_leaves_signals_to_that() -> None:
    """`systemctl kill -s HUP lb` sends them to every process: nobody must end, or stand still, of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", BEGIN, str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"begun\n"
            for number in CHANGES:
                process.send_signal(number)
            process.terminate()  # a process that was stopped would not take it
            assert process.wait(30) == -signal.SIGTERM


def test_a_role_is_told_to_stop_when_its_supervisor_is_killed() -> None:
    """The supervisor here is a shell-like parent that starts the role and is then killed."""
    parent = (
        "import subprocess, sys, time, socket\n"
        "ours, theirs = socket.socketpair()\n"
        "role = subprocess.Popen([sys.executable, '-c', sys.argv[1], str(theirs.fileno())],"
        " pass_fds=(theirs.fileno(),))\n"
        "print(role.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent, BEGIN], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline()
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGKILL)
        assert process.stdout.read() == b""  # ends when the role has: it holds the pipe too
