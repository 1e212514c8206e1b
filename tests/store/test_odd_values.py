"""Whatever somebody else writes into the store, each of its readers survives, and the pool is whole again.

Values, fields and types are odd in turn: in the keys of the schema, each of which has a row in `KEYS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lb.admin import main
from lb.api.access import Access
from lb.api.app import create_app
from lb.api.counted import Counted
from lb.config import Config
from lb.errors import StoreError
from lb.health.checker import Checker
from lb.health.dead_workers import SILENCE_SECONDS, DeadWorkers
from lb.health.finding import Finding
from lb.model import Admin, Health, ServerId, Source
from lb.processes.member import Member
from lb.store.client import connect
from lb.store.fleet import Fleet
from lb.store.keys import TYPES, Keys
from lb.store.metrics import Metrics
from lb.store.outbox import Outbox
from lb.store.pool import BackendPool
from tests.proxy.rig import until
from tests.store.acts import PASSED, UNANSWERED, spec
from tests.store.acts import Worker as OtherWorker

_NUMBERS = itertools.count()
A, B, GONE = (ServerId(f"localhost:{port}") for port in (5001, 5002, 5003))
NAMES = sorted(name for name, member in vars(Keys).items() if isinstance(member, property))
OWN = ["removed_server", "worker", "worker_connections", "metrics_run"]

NUMBERS = [
    b"-1",
    b"0",
    b"1.5",
    b"nan",
    b"inf",
    b"1e308",
    b"0x10",
    b" 7",
    b"99999999999999999999",
    b"9007199254740991",
]
WORDS = [
    b"",
    b"abc",
    b"\x1b[2J",
    b"a\nb",
    b"\xff\xfe",
    "ü\u202e".encode(),
    b"2xx/0.005=x seconds=nan =",
    b"passed",
]
IDS = [b"127.0.0.1:99999", b"localhost:5002", b"nonsense", b"unix:", b"[::1]:80", b"-", b"@x"]
LAST_ID = f"{2**64 - 1}-{2**64 - 1}"
odd_values = st.sampled_from([*NUMBERS, *WORDS, *IDS]) | st.binary(max_size=20)


@dataclass(frozen=True)
class Change:
    """What somebody else does to one key."""

    name: str
    field: bytes
    value: bytes
    retype: bool

    def make(self, raw: redis.Redis, key: str) -> None:
        """Write the value into it, or another type in its place."""
        with suppress(redis.ResponseError):  # it is of another type since an earlier change
            self._make(raw, key)

    def _make(self, raw: redis.Redis, key: str) -> None:
        kind = TYPES.get(self.name, "hash")
        if self.retype:
            raw.delete(key)
            kind = {"string": "hash", "hash": "list"}.get(kind, "string")
        match kind:
            case "string":
                raw.set(key, self.value)
            case "hash":
                raw.hset(key, self.field, self.value)
            case "list":
                raw.lpush(key, self.value)
            case "set":
                raw.sadd(key, self.value)
            case "zset":
                raw.zadd(key, {self.value: 1e300 if self.retype or self.field == b"inf" else 1.0})
            case "stream":
                raw.xadd(key, {self.field: self.value}, id="*" if len(self.value) < 9 else LAST_ID)


changes = st.builds(
    Change,
    st.sampled_from([*NAMES, *OWN]),
    st.sampled_from([A.encode(), B.encode(), b"pid", b"generation", b"number", b"weight", b"version"])
    | odd_values,
    odd_values,
    st.booleans() | st.just(value=False),
)


class Scene:
    """A pool with all that there can be, a worker, and every reader."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = Keys(prefix=f"odd{next(_NUMBERS)}")
        self.raw = redis.Redis.from_url(url)
        self.connection = connect(url)
        self.pool = BackendPool(self.connection, self.keys)
        self.fleet = Fleet(self.connection, self.keys)
        self.metrics = Metrics(self.connection, self.keys)
        self.config = Config.model_validate({"redis": url, "keyPrefix": self.keys.prefix})
        self.pool.reconcile([spec(A), spec(GONE)], "round-robin", "test")
        self.pool.add(spec(B, 2), Source.ADMIN, "test")
        self.pool.remove(GONE, "test")
        self.term = self.pool.lead("checker", 60)
        self.pool.record_check(A, PASSED)
        self.pool.record_check(B, UNANSWERED)
        self.outbox = Outbox(self.connection, self.keys)
        self.outbox.unsent(self.term or 0)
        self.metrics.publish("run", "", "1", {"host": "h", A: "2xx/0.005=17 seconds=0.31", "@h": "picks=1"})
        self.metrics.publish("ended", "", "1", {"host": "h", A: "2xx/0.005=1"})
        self.metrics.fold("ended", -1)
        self.member = Member(self.config, lambda *_: None)
        self.member.join()
        self.held = self.member.line.lease()
        self.dead_workers = DeadWorkers(self.fleet, "test", clock=itertools.count().__next__)
        self.checks = 0
        self.checker = Checker(
            self.pool,
            self._check,
            self.config,
            "checker",
            spawn=_at_once,
            clock=itertools.count(0.0, 0.7).__next__,
        )
        self.client = create_app(self.pool, self.fleet, Access(), Counted(self.metrics)).test_client()

    def close(self) -> None:
        self.member.leave()
        self.connection.close()
        self.raw.close()

    def make(self, change: Change) -> None:
        own = {
            "removed_server": self.keys.removed_server(GONE),
            "worker": self.keys.worker(self.member.id),
            "worker_connections": self.keys.worker_connections(self.member.id),
            "metrics_run": self.keys.metrics_run("run"),
        }
        change.make(self.raw, own.get(change.name) or getattr(self.keys, change.name))

    def _check(self, *_: Any) -> Finding:
        self.checks += 1
        return Finding(passed=True, answered=True, detail="200 OK", duration_seconds=0.01)

    # --- each reader

    def leases(self) -> None:
        """A client always gets a server."""
        for _ in range(3):
            lease = self.member.line.lease()
            assert lease
            self.member.line.release(lease)

    def commands(self) -> None:
        environ = {"LB_REDIS": self.url, "LB_CONFIG": None, "LB_KEY_PREFIX": self.keys.prefix}
        for command in (
            ["list"], ["list", "--removed"], ["status"], ["events"], ["strategy"],
            ["list", "--json"], ["list", "--removed", "--json"], ["status", "--json"], ["events", "--json"],
        ):  # fmt: skip
            result = CliRunner(env=environ).invoke(main, command)
            assert result.exception is None or isinstance(result.exception, SystemExit), command
            said = result.output.replace("\n", "")
            assert said.isprintable(), (command, said)

    def api(self) -> None:
        for path in (
            "servers",
            f"servers/{A}",
            "removed",
            "status",
            "workers",
            "events",
            "strategy",
            "metrics",
        ):
            answer = self.client.get(f"/{path}")
            assert answer.status_code in (200, 404, 503), (path, answer.text)
            assert answer.text.replace("\n", "").replace("\t", "").isprintable(), (path, answer.text)
        with self.client.get("/live") as answer:
            for message in itertools.islice(answer.response, 2):
                assert b"event: trouble" not in _bytes(message)

    def health_checker(self) -> None:
        _may_be_refused(self.dead_workers.reap)
        _may_be_refused(self.checker.tick)

    def messages(self) -> None:
        _may_be_refused(lambda: self.outbox.unsent(self.pool.lead("checker", 60) or 0))

    def figures(self) -> None:
        _may_be_refused(self.metrics.figures)
        _may_be_refused(lambda: self.metrics.fold("run", 0))
        self.member.beat()

    def another_worker(self) -> None:
        """One that starts now."""
        OtherWorker(self.connection, self.keys, "w1")
        _may_be_refused(lambda: self.fleet.heartbeat(self.member.id, 1, SILENCE_SECONDS))
        self.fleet.leave(OtherWorker(self.connection, self.keys, "w1").id)

    def whole(self) -> bool:
        self.member.beat()
        snapshot = self.pool.snapshot()
        counts = {status.server.id: status.connections for status in self.pool.list()}
        held = {server: count for server, count in self.member.line.held.items() if count}
        return (
            not snapshot.damage
            and {server.id for server in snapshot.servers} >= {A, B}
            and self.member.line.degraded_since is None
            and {server: count for server, count in counts.items() if count} == held
        )


def _bytes(message: str | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.encode()


def _at_once(act: Callable[..., object], *arguments: object) -> None:
    act(*arguments)


def _may_be_refused(act: Callable[[], object]) -> None:
    """Do it; the pool may be damaged at the moment, but nothing else may come of it."""
    said = ""
    try:
        act()
    except StoreError as error:
        said = str(error)
    assert not said or any(words in said for words in ("damaged", "DEPOSED", "holds no pool")), said


READERS = ["leases", "commands", "api", "health_checker", "messages", "figures", "another_worker"]


@pytest.fixture
def scene(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Scene]]:
    monkeypatch.setattr("lb.processes.member._PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("lb.admin.rates._PATIENCE_SECONDS", 0.0)
    scenes: list[Scene] = []

    def make() -> Scene:
        while scenes:
            scenes.pop().close()
        scenes.append(Scene(store_url))
        return scenes[-1]

    yield make
    while scenes:
        scenes.pop().close()


def survived(scene: Scene, made: list[Change], order: list[str]) -> None:
    for change in made:
        scene.make(change)
    for reader in order:
        getattr(scene, reader)()
    until(scene.whole)
    for reader in order:
        getattr(scene, reader)()
    assert {one.id: one.admin for one in scene.pool.snapshot().servers}.items() >= {
        A: Admin.READY,
        B: Admin.READY,
    }.items()
    assert all(one.health is Health.UP for one in scene.pool.snapshot().servers if one.id in (A, B))


@pytest.mark.parametrize("name", [*NAMES, *OWN])
def test_a_key_of_another_type_is_survived(scene: Callable[[], Scene], name: str) -> None:
    survived(scene(), [Change(name, A.encode(), b"odd", retype=True)], READERS)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=st.lists(changes, min_size=1, max_size=5), order=st.permutations(READERS))
def test_odd_values_are_survived(scene: Callable[[], Scene], made: list[Change], order: list[str]) -> None:
    survived(scene(), made, order)
