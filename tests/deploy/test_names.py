"""What documents, deploy/ and the Procfile say of the product is true: its commands and its settings."""

from __future__ import annotations

import re

import pytest

from lb.__main__ import cli
from lb.admin import COMMANDS as ADMIN_COMMANDS
from lb.config import settings
from tests.deploy.files import DEPLOY, FILES, PAGES, TOP, name_of

KNOWN = {"LB_CONFIG"} | {setting.variable for setting in settings()}


@pytest.mark.parametrize("path", [TOP / "Procfile", *sorted({*FILES, *PAGES})], ids=name_of)
def test_variables_are_settings(path):
    assert set(re.findall(r"\bLB_[A-Z_]+\b", path.read_text())) <= KNOWN


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_that_documents_name_exist(page):
    text = page.read_text()
    assert set(re.findall(r"`lb ([a-z][a-z-]*)", text)) <= set(cli.commands)
    assert set(re.findall(r"\blb-admin ([a-z]+)", text)) <= set(ADMIN_COMMANDS)


def test_commands_exist():
    procfile = re.findall(r"^[\w-]+: lb ([\w-]+)", (TOP / "Procfile").read_text(), re.MULTILINE)
    compose = re.findall(r"^  +command: ([\w-]+)$", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    sentinel = re.findall(
        r"^  +command: ([\w-]+)$", (DEPLOY / "sentinel/compose.yaml").read_text(), re.MULTILINE
    )
    unit = re.findall(r"^ExecStart=\S+/lb ([\w-]+)", (DEPLOY / "lb.service").read_text(), re.MULTILINE)
    image = re.findall(r'^CMD \["([\w-]+)"\]', (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    pods = [
        command
        for path in (DEPLOY / "kubernetes").rglob("*.yaml")
        for command in re.findall(r"^ +args: \[([\w-]+)\]", path.read_text(), re.MULTILINE)
    ]
    for commands in (procfile, compose, sentinel, unit, image, pods):
        assert commands
        assert set(commands) <= set(cli.commands)


def test_each_file_is_explained():
    """In the guide, by its name or by that of its folder."""
    guide = (DEPLOY / "README.md").read_text()
    names = {path.relative_to(DEPLOY).parts[0] for path in FILES} - {"README.md", "Dockerfile.dockerignore"}
    assert {name for name in names if f"`{name}`" not in guide and f"`{name}/`" not in guide} == set()
