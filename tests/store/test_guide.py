"""The guide `lb/docs/redis.md` holds what it says: its commands run as written and show what it shows."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import redis

from lb.model import EVENT_KINDS, Admin, Health, ServerId, ServerSpec, Source, WorkerId
from lb.store.client import connect
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.metrics import Metrics
from lb.store.outbox import Outbox
from lb.store.pool import BackendPool
from tests.store.acts import PASSED, UNANSWERED, Worker, spec
from tests.support import Valkey

GUIDE = (files("lb") / "docs" / "redis.md").read_text()
COMMAND = "redis-cli -s .lb/store.sock "
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in GUIDE.splitlines()
    if line.startswith("|") and COMMAND in line
]
EXAMPLES = re.findall(rf"^    \$ {COMMAND}(.*)\n((?:    [^$].*\n)+)", GUIDE, re.MULTILINE)
WORKER = WorkerId("web1-4711-9f3c")


@pytest.fixture(scope="module")
def guided() -> Iterator[redis.Redis]:
    """A store in the state that the guide describes."""
    with tempfile.TemporaryDirectory(prefix="lb-") as data_dir, Valkey(Path(data_dir)) as store:
        with connect(store.url) as connection:
            make_the_state(connection, Keys())
            yield connection


def make_the_state(connection: redis.Redis, keys: Keys) -> None:
    pool = BackendPool(connection, keys)
    one, two, three, _, five = ids = [ServerId(f"localhost:{port}") for port in range(5001, 5006)]
    pool.reconcile([spec(server) for server in ids], "round-robin", "config")
    workers = [Worker(connection, keys, name) for name in (WORKER, "web1-4712-51ab")]
    term = pool.lead("web1-4700-77d0", 600)
    pool.record_check(one, PASSED, settings="7e0c5a91d3b2")
    pool.record_check(three, UNANSWERED)
    pool.add(ServerSpec(ServerId("localhost:5006"), "http://localhost:5006", 3), Source.ADMIN, "lb-admin")
    pool.set_admin(two, Admin.DRAIN, "lb-admin")
    pool.set_health(three, Health.DOWN, "connection refused", "health-checker")
    pool.remove(five, "lb-admin")
    Outbox(connection, keys).unsent(term)
    workers[0].lease(picks=4)
    workers[1].lease(picks=3)
    workers[0].fail(one, 2)
    Fleet(connection, keys).heartbeat(WORKER, pool.version(), 600, answered=True)
    count_requests(Metrics(connection, keys))


def count_requests(metrics: Metrics) -> None:
    for run, counted in (
        ("c81d20aa90f2e6b7", "2xx/0.005=4 seconds=0.01"),
        ("5f0c9b1e2a7d4433", "2xx/0.005=17 5xx/0.5=1 seconds=0.31"),
    ):
        metrics.publish(run, "", "1", {"host": "web1", "localhost:5001": counted})
    metrics.fold("c81d20aa90f2e6b7", silence_seconds=-1)


def run(connection: redis.Redis, command: str) -> list[str]:
    """Return the reply's words, in order, as redis-cli prints them one a line."""
    name, *arguments = shlex.split(command)
    return words(connection.execute_command(name, *arguments))


def words(reply: object) -> list[str]:
    if isinstance(reply, dict):
        return words(list(reply.items()))
    if isinstance(reply, list | tuple | set):
        return [word for part in reply for word in words(part)]
    return [] if reply is None else [str(reply)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_a_row_of_the_tables_shows_what_the_store_holds(guided: redis.Redis, row: list[str]) -> None:
    name, kind, _, _, read, shows = row
    command = read.strip("`").removeprefix(COMMAND)
    key = shlex.split(command)[1]
    assert re.fullmatch(r"lb:\{default\}:" + name.strip("`").replace("ID", "[^ ]+?"), key)

    reply = run(guided, command)
    samples = [word for word in re.findall(r"`([^`]+)`", shows) if shows.startswith("`")]
    assert [word for word in samples if word not in reply and not varies(word)] == []
    if shows.startswith("empty"):
        assert reply == []
    else:
        assert kind.startswith({"zset": "sorted set"}.get(guided.type(key), guided.type(key)))


def varies(word: str) -> bool:
    """Tell times, and what a worker says of itself, from what is the same each time."""
    return re.fullmatch(r"17\d{8}[\d.-]*", word) is not None or word in ("web1", "4711")


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_worked_example_is_real(guided: redis.Redis, command: str, shown: str) -> None:
    assert run(guided, command) == [line.strip() for line in shown.splitlines()]


def test_every_key_has_its_row() -> None:
    properties = [name for name, member in vars(Keys).items() if isinstance(member, property)]
    names = [getattr(Keys(), name) for name in properties]
    names += [Keys().removed_server(ServerId("ID")), Keys().worker(WorkerId("ID"))]
    names += [Keys().worker_connections(WorkerId("ID")), Keys().metrics_run("ID")]
    assert sorted(row[0] for row in ROWS) == sorted(
        f"`{name.removeprefix('lb:{default}:')}`" for name in names
    )


def test_every_kind_of_event_is_listed() -> None:
    scripts = [path.read_text() for path in (files("lb.store") / "lua").iterdir()]
    kinds = {kind for script in scripts for kind in re.findall(r"\bevent\('([\w-]+)'", script)}
    kinds |= {"ready", "drain", "maint", "up", "down", "worker-left", "worker-lost"}
    listed = re.search(r"The kinds of events: (.*?)\.\n", GUIDE, re.DOTALL)
    assert listed
    assert set(re.findall(r"`([\w-]+)`", listed[1])) == kinds == set(EVENT_KINDS)
