"""The tree keeps its shape: where things are, how large they get, and what is named where."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import hypothesis

from lb.strategies import STRATEGIES

TOP = Path(__file__).parent.parent
MODULES = sorted(path.relative_to(TOP) for path in (TOP / "lb").rglob("*.py"))
SCRIPTS = sorted(path.relative_to(TOP) for path in (TOP / "lb").rglob("*.lua"))

TOP_LEVEL = {"LICENSE", "Procfile", "README.md", "config.json", "deploy", "lb", "pyproject.toml", "tests"}

LONGEST_MODULE, LONGEST_FUNCTION = 280, 45  # lines; the guide sizes are 250 and 40

#: Modules that are tested together with others, in the file named.
TESTED_ELSEWHERE = {
    "lb/admin/failures.py": "tests/admin/test_init.py",
    "lb/admin/lazy.py": "tests/admin/test_init.py",
    "lb/admin/maint.py": "tests/admin/test_wishes.py",
    "lb/admin/operators.py": "tests/admin/test_init.py",
    "lb/admin/options.py": "tests/admin/test_init.py",
    "lb/admin/parameters.py": "tests/admin/test_add.py",
    "lb/admin/undrain.py": "tests/admin/test_wishes.py",
    "lb/admin/views.py": "tests/admin/test_list.py",
    "lb/api/bodies.py": "tests/api/test_servers.py",
    "lb/api/long_gone.py": "tests/api/test_metrics.py",
    "lb/api/context.py": "tests/api/test_app.py",
    "lb/api/overview.py": "tests/api/test_state.py",
    "lb/api/shapes.py": "tests/api/test_openapi.py",
    "lb/health/finding.py": "tests/health/checks/test_http.py",
    "lb/config/fields.py": "tests/config/test_model.py",
    "lb/config/sections.py": "tests/config/test_model.py",
    "lb/errors.py": "tests/api/test_app.py",
    "lb/metrics/layout.py": "tests/metrics/test_meters.py",
    "lb/model.py": "tests/store/test_pool.py",
    "lb/proxy/choice.py": "tests/proxy/test_forward.py",
    "lb/options.py": "tests/test_main.py",
    "lb/proxy/reader.py": "tests/proxy/test_stream.py",
    "lb/proxy/trailers.py": "tests/proxy/test_http1.py",
    "lb/store/keys.py": "tests/store/test_guide.py",
    "lb/store/lease.py": "tests/store/test_lease_line.py",
    "lb/store/refusals.py": "tests/store/test_pool.py",
    "lb/store/views.py": "tests/store/test_pool.py",
    "lb/wsgi/forward.py": "tests/integration/test_wsgi.py",
    "lb/wsgi/membership.py": "tests/integration/test_wsgi.py",
}

#: What only names of the store's keys hold: the hash tag, or the default prefix.
KEY_NAME = re.compile(r":\{|\blb:[\w{]")


def test_top_level_is_fixed():
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files"], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout
    names = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_modules_are_short():
    lengths = {str(module): len(text(module).splitlines()) for module in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_functions_are_short():
    lengths = {
        f"{module}: {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for module in MODULES
        for function in functions(module)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def test_each_module_has_a_test_file_of_its_own():
    """lb/store/pool.py has tests/store/test_pool.py; an __init__ needs one only if it defines something."""
    defining = (m for m in MODULES if m.name != "__init__.py" or any(functions(m)))
    missing = {str(module) for module in defining if not (TOP / twin(module)).exists()}
    assert missing == set(TESTED_ELSEWHERE)
    assert [path for path in TESTED_ELSEWHERE.values() if not (TOP / path).exists()] == []


def test_keys_of_the_store_are_named_in_one_module():
    modules = (module for module in MODULES if module != Path("lb/store/keys.py"))
    named = [(str(m), literal) for m in modules for literal in literals(m) if KEY_NAME.search(literal)]
    assert named == []


def test_scripts_make_up_no_key():
    assert [str(script) for script in SCRIPTS if KEY_NAME.search(re.sub(r"--.*", "", text(script)))] == []


def test_each_strategy_is_two_files_of_one_stem_and_a_line_in_the_registry():
    rules = stems(MODULES) - {"__init__", "base"}
    assert stems(SCRIPTS) == rules
    assert {strategy.stem for strategy in STRATEGIES.values()} == rules


def test_no_property_depends_on_how_busy_the_machine_is():
    assert hypothesis.settings().deadline is None


def test_ci_runs_what_the_readme_tells_users_to_run():
    lines = text(Path("README.md")).splitlines()
    commands = [line.strip() for line in lines if ".venv/bin/pytest" in line]
    assert commands
    assert [command for command in commands if command not in text(Path(".ci/run"))] == []


def text(path: Path) -> str:
    return (TOP / path).read_text()


def twin(module: Path) -> Path:
    return Path("tests", *module.parts[1:-1], f"test_{module.stem.strip('_')}.py")


def functions(module: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(ast.parse(text(module))) if isinstance(node, ast.FunctionDef))


def literals(module: Path) -> Iterator[str]:
    """Strings that the module uses; those that stand alone are docstrings, which may speak of keys."""
    nodes = [*ast.walk(ast.parse(text(module)))]
    alone = {node.value for node in nodes if isinstance(node, ast.Expr)}
    strings = (node for node in nodes if isinstance(node, ast.Constant) and node not in alone)
    return (node.value for node in strings if isinstance(node.value, str))


def stems(paths: Iterable[Path]) -> set[str]:
    return {path.stem for path in paths if path.parent == Path("lb/strategies")}
