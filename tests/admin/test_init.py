"""The group: help, the registry of commands, and how errors end."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

import lb
from lb.admin import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_registry_says_what_the_command_says(name):
    command = import_module(f"lb.admin.{name}").command

    assert (name, COMMANDS[name]) == (command.name, command.help.splitlines()[0])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_and_the_common_options(run, name):
    outcome = run(name, "--help")

    assert outcome.status == 0
    assert f"\n    lb-admin {name}" in outcome.out
    assert all(option in outcome.out for option in ("--redis URL", "--config FILE", "--json"))


def test_help_lists_every_command(run):
    out = run("--help").out

    assert all(f"\n  {name} " in out and help_text in out for name, help_text in COMMANDS.items())


def test_help_loads_nothing_heavy():
    """That is what makes it quick, on a busy machine too."""
    program = (
        "import sys; from click.testing import CliRunner; from lb.admin import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "print(*{'redis', 'pydantic', 'rich', 'flask', 'gevent'} & set(sys.modules))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert outcome.stdout.strip() == ""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("dr", ["drain"]),
        ("un", ["undrain"]),
        ("strategy r", ["round-robin", "random"]),
        ("list --re", ["--removed", "--redis"]),
        ("xyzzy", []),
        ("lsit ''", [*COMMANDS]),
    ],
)
def test_bash_completes(words, completed):
    """As a shell does it that ran what the help says."""
    script = (
        'eval "$(_LB_ADMIN_COMPLETE=bash_source lb-admin)"\n'
        f"COMP_WORDS=(lb-admin {words}) COMP_CWORD={len(words.split())}\n"
        "_lb_admin_completion lb-admin\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    outcome = subprocess.run(
        ["bash", "--norc", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=True
    )

    assert (outcome.stdout.split(), outcome.stderr) == (completed, "")


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"], ["list", "--help"]])
def test_output_that_cannot_be_written_is_one_line(start, add, arguments):
    add()
    with Path("/dev/full").open("w") as full:
        process = start(*arguments, stdout=full)
        _, err = process.communicate(timeout=10)

    assert process.returncode == 1
    assert err == "lb-admin: error: cannot write to standard output: no space left on device\n"


def test_reader_who_leaves_ends_it_silently(start, add):
    for port in range(5001, 5020):
        add(f"http://localhost:{port}")
    reader, writer = os.pipe()
    os.close(reader)
    process = start("list", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=10)

    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell):
    outcome = CliRunner(env={"_LB_ADMIN_COMPLETE": f"{shell}_source"}).invoke(main, prog_name="lb-admin")

    assert outcome.exit_code == 0
    assert f"{shell}_complete" in outcome.output


def test_version(run):
    assert f"lb-admin {lb.__version__}\n" == run("--version").out


def test_misspelt_command_is_wrong_usage_and_the_near_one_is_named(run):
    outcome = run("lsit")

    assert outcome.status == 2
    assert "did you mean list?" in outcome.err


def test_unknown_command_and_option_are_wrong_usage(run):
    assert [run("xyzzy").status, run("list", "--xyzzy").status] == [2, 2]


def test_real_process_fails_with_one_line_and_status_1(start):
    process = start("remove", "localhost:5001")
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out) == (1, "")
    assert err.startswith("lb-admin: error: localhost:5001 is not in the pool")
    assert len(err.splitlines()) == 1


def test_real_process_adds_and_lists(start):
    out, _ = start("add", "http://localhost:5001").communicate(timeout=10)
    assert out == "localhost:5001 added, weight 1\n"
    out, err = start("list").communicate(timeout=10)

    assert (out.splitlines()[1].split()[0], err) == ("localhost:5001", "")
