from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest

from lb.config import load, to_json
from lb.processes import handover, upgrade
from lb.processes.crew import Crew, inherit
from lb.processes.upgrade import Estate, Heir
from tests.support import eventually

ANYWHERE = {"LB_PORT": "127.0.0.1:0", "LB_REDIS": "redis://h", "LB_WORKERS": "1"}


def test_without_a_supervisor_before_there_is_nothing_to_take_over() -> None:
    assert upgrade.take_over({"PATH": ""}) is None


def test_what_was_left_is_taken_over_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as client, socket.create_server(("127.0.0.1", 0)) as admin:
        left = Estate("{}", client.fileno(), admin.fileno(), None, [])
        os.set_inheritable(client.fileno(), True)
        environ = {upgrade.VARIABLE: str(handover.write(json.dumps(asdict(left))))}
        assert upgrade.take_over(environ) == left
        assert environ == {}
        assert not client.get_inheritable()


def test_what_a_later_program_left_is_no_hindrance_on_the_way_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as client, socket.create_server(("127.0.0.1", 0)) as admin:
        heir = Heir("worker", 1, -1, ready=True, retired=False, kill_at=None)
        left = Estate("{}", client.fileno(), admin.fileno(), None, [heir])
        values = {**asdict(left), "heirs": [{**asdict(heir), "mood": "good"}], "later": 1}
        environ = {upgrade.VARIABLE: str(handover.write(json.dumps(values)))}
        assert upgrade.take_over(environ) == left


def test_children_live_on() -> None:
    """The crew of the new program hears, stops and reaps the process that the old one started."""
    config = load(None, ANYWHERE, {})
    with socket.create_server(("127.0.0.1", 0)) as client, socket.create_server(("127.0.0.1", 0)) as admin:
        old = Crew(config, client, admin)
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        ours, theirs = socket.socketpair()
        old.workers[0].adopt(process.pid, ours, 0.0, ready=True, kill_at=None)
        estate = old.bequeath()
        assert estate.scoreboard_fd is not None
        estate = replace(
            estate,
            client_fd=os.dup(client.fileno()),
            admin_fd=os.dup(admin.fileno()),
            scoreboard_fd=os.dup(estate.scoreboard_fd),
        )
        ours.detach()
        old.close()
        with theirs, inherit(estate, time.monotonic(), demo=False) as crew:
            (adopted,) = crew.workers
            assert adopted.role.slot == 0
            assert crew.hire().role.slot == 1  # on the same scoreboard
            crew.workers.pop()
            assert (adopted.pid, adopted.ready, adopted.running) == (process.pid, True, True)
            theirs.send(b".")
            assert adopted.hear(1.0)
            adopted.stop(1.0)
            eventually(lambda: adopted.reap(2.0))
            assert adopted.exit_code == -signal.SIGTERM
            assert adopted.control
            adopted.control.close()
        process.returncode = -signal.SIGTERM  # it was reaped behind its back


def test_a_configuration_with_settings_of_a_later_program_is_no_hindrance_on_the_way_back() -> None:
    config = load(None, {**ANYWHERE, "LB_STRATEGY": "random"}, {})
    with socket.create_server(("127.0.0.1", 0)) as client, socket.create_server(("127.0.0.1", 0)) as admin:
        values = json.loads(to_json(config))
        later = {**values, "later": 1, "limits": {**values["limits"], "later": 1}}
        estate = Estate(json.dumps(later), os.dup(client.fileno()), os.dup(admin.fileno()), None, [])
        with inherit(estate, 0.0, demo=False) as crew:
            assert crew.config == config


def test_there_are_as_many_workers_as_before_also_if_one_has_just_died() -> None:
    config = load(None, {**ANYWHERE, "LB_WORKERS": "3"}, {})
    with socket.create_server(("127.0.0.1", 0)) as client, socket.create_server(("127.0.0.1", 0)) as admin:
        old = Crew(config, client, admin)
        fds = {
            name: os.dup(getattr(old.bequeath(), name)) for name in ("client_fd", "admin_fd", "scoreboard_fd")
        }
        estate = replace(old.bequeath(), **fds)
        old.close()
        with inherit(estate, 0.0, demo=False) as crew:
            assert [(worker.running, worker.role.slot) for worker in crew.workers] == [
                (False, 0),
                (False, 1),
                (False, 2),
            ]


def test_a_program_that_cannot_be_executed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    with socket.create_server(("127.0.0.1", 0)) as client, socket.create_server(("127.0.0.1", 0)) as admin:
        with pytest.raises(FileNotFoundError):
            upgrade.pass_on(Estate("{}", client.fileno(), admin.fileno(), None, []), [], [signal.SIGUSR1])
        assert not client.get_inheritable()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
