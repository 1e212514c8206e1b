"""What lies in deploy/, for the tests that judge it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"

#: All of it that the repository has; secrets that somebody made for a try of their own are not in it.
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.name != "secret.env")
#: The documents, all of which name settings and commands, and each other.
PAGES = [TOP / "README.md", DEPLOY / "README.md", *sorted((TOP / "lb/docs").glob("*.md"))]


def name_of(path: Path) -> str:
    """Return what a test of a file is called."""
    return str(path.relative_to(TOP)).replace("/", ".")


def program(name: str) -> str | None:
    """Find a program: beside the interpreter, where Python packages bring theirs, or on the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test where the program is not installed."""
    return pytest.mark.skipif(program(name) is None, reason=f"{name} is not installed")


def run(name: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is."""
    command = [program(name) or name, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, **options)


def documents(path: Path) -> list[dict[str, Any]]:
    """Read the documents of a YAML file; a name that is given twice is an error."""
    return [document for document in yaml.load_all(path.read_text(), _OnceLoader) if document is not None]


def document(path: Path) -> dict[str, Any]:
    """Read a YAML file of one document."""
    (only,) = documents(path)
    return only


def anchors(path: Path) -> set[str]:
    """List what links into a Markdown file can point at."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


class _OnceLoader(yaml.SafeLoader):
    """YAML says that names in a mapping are unique; the parser takes the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(names) == len(set(names)), f"{node.start_mark}: {names}"
        return super().construct_mapping(node, deep)
