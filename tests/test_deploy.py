"""What deploy/ and the Procfile say of the product is true: its commands and its settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lb.__main__ import cli
from lb.config import settings

TOP = Path(__file__).parent.parent
FILES = sorted([TOP / "Procfile", *(TOP / "deploy").iterdir()])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_variables_are_settings(path):
    known = {"LB_CONFIG"} | {setting.variable for setting in settings()}
    assert set(re.findall(r"\bLB_[A-Z_]+\b", path.read_text())) <= known


def test_commands_exist():
    procfile = re.findall(r"^[\w-]+: lb ([\w-]+)", (TOP / "Procfile").read_text(), re.MULTILINE)
    compose = re.findall(
        r"^  +command: ([\w-]+)$", (TOP / "deploy" / "compose.yaml").read_text(), re.MULTILINE
    )
    unit = re.findall(
        r"^ExecStart=\S+/lb ([\w-]+)", (TOP / "deploy" / "lb.service").read_text(), re.MULTILINE
    )
    image = re.findall(r'^CMD \["([\w-]+)"\]', (TOP / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    for commands in (procfile, compose, unit, image):
        assert commands
        assert set(commands) <= set(cli.commands)


def test_each_file_is_explained():
    guide = (TOP / "deploy" / "README.md").read_text()
    names = {path.name for path in FILES} - {"README.md", "Dockerfile.dockerignore"}
    assert {name for name in names if f"`{name}`" not in guide} == set()
