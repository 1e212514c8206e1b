"""The strategy that lb/docs/strategies.md adds is all that a strategy takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
import redis

from lb.model import ServerId
from lb.store import scripts
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from lb.strategies import STRATEGIES, LocalPool, Strategy
from tests.store.acts import Worker, spec

GUIDE = files("lb").joinpath("docs", "strategies.md").read_text()
IDS = [ServerId(f"server-{number}:80") for number in range(3)]


def snippet(language: str, first_line: str) -> str:
    [found] = re.findall(rf"```{language}\n({re.escape(first_line)}.*?)```", GUIDE, re.DOTALL)
    return found


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Strategy]:
    """The guide's strategy, registered as the guide says."""
    module = ModuleType("lb.strategies.first")
    exec(snippet("python", '"""The first eligible'), module.__dict__)
    (tmp_path / "first.lua").write_text(snippet("lua", "-- The first eligible"))
    for rule in STRATEGIES.values():
        name = f"{rule.stem}.lua"
        (tmp_path / name).write_text(files("lb.strategies").joinpath(name).read_text())
    monkeypatch.setitem(STRATEGIES, "first", module.FIRST)
    packages = {"lb.strategies": tmp_path}
    monkeypatch.setattr(scripts, "files", lambda package: packages.get(package) or files(package))
    scripts.load.cache_clear()
    yield module.FIRST
    scripts.load.cache_clear()


def test_the_strategy_of_the_guide_picks_alike_in_both_languages(
    first: Strategy, pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    pool.reconcile([spec(server) for server in IDS], "first", "test")
    picked = Worker(connection, keys, "w1").lease(picks=2, excluding=[IDS[:1], IDS])
    local = LocalPool(cycle=IDS, weights=dict.fromkeys(IDS, 1))
    twin = [first.pick(local, excluded) or "" for excluded in ([], [], IDS[:1], IDS)]
    assert picked == twin == [IDS[0], IDS[0], IDS[1], ""]
