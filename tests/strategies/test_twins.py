"""Every registered strategy's Lua on the real store, with its Python `pick` as the oracle."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from dataclasses import dataclass

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lb.model import Admin, Health, ServerId, ServerSpec
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from lb.strategies import STRATEGIES, LocalPool
from tests.store.acts import Worker, spec

# Their order as text is not their order in number, nor in the pool.
IDS = [ServerId(name) for name in ("s2:1", "s10:1", "S1:80", "unix:/run/s", "[::1]:1", "ü:1")]

on_real_store = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
every_strategy = pytest.mark.parametrize("name", STRATEGIES)


@dataclass(frozen=True)
class Batch:
    seed: int
    picks: int
    excluding: list[list[ServerId]]
    releases: dict[ServerId, int]


@dataclass(frozen=True)
class Case:
    specs: list[ServerSpec]
    drained: set[ServerId]
    down: set[ServerId]
    fail_open: bool
    held: dict[ServerId, int]  # by another worker, all along
    cursor: int
    batches: list[Batch]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    ids = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=6))
    some = st.sets(st.sampled_from(ids), max_size=2) if ids else st.just(set())
    any_of_them = st.sets(st.sampled_from(ids)) if ids else st.just(set())
    counts = st.dictionaries(st.sampled_from(ids), st.integers(0, 4)) if ids else st.just({})
    batch = st.builds(
        Batch,
        seed=st.integers(1, 2**31 - 2),
        picks=st.integers(0, 6),
        excluding=st.lists(st.lists(st.sampled_from(IDS), unique=True, max_size=6), max_size=3),
        releases=counts,
    )
    return Case(
        specs=[spec(server, draw(st.integers(1, 5))) for server in ids],
        drained=draw(some),
        down=draw(some | any_of_them | st.just({*ids})),
        fail_open=draw(st.booleans()),
        held=draw(counts),
        cursor=draw(st.integers(0, 7) | st.integers(0, 1000)),
        batches=draw(st.lists(batch, max_size=4)),
    )


def oracle(name: str, pool: LocalPool, batch: Batch, own: Counter[ServerId]) -> list[ServerId]:
    """Do in memory what lease.lua does with a batch; `own` is what the leasing worker holds."""
    for server, claimed in batch.releases.items():
        ended = min(claimed, own[server])
        own[server] -= ended
        pool.connections[server] -= ended
    pool.seed = batch.seed
    picked = []
    for excluded in [[]] * batch.picks + batch.excluding:
        server = STRATEGIES[name].pick(pool, excluded)
        picked.append(server or ServerId(""))
        if server:
            own[server] += 1
            pool.connections[server] += 1
    return picked


@every_strategy
@on_real_store
@given(case=cases())
def test_lua_and_python_pick_the_same(connection: redis.Redis, name: str, case: Case) -> None:
    keys = Keys(prefix=f"t{secrets.token_hex(4)}")
    pool = BackendPool(connection, keys)
    pool.reconcile(case.specs, name, "test", fail_open=case.fail_open)
    Worker(connection, keys, "other").register(case.held)
    for server in case.drained:
        pool.set_admin(server, Admin.DRAIN, "test")
    for server in case.down:
        pool.set_health(server, Health.DOWN, "test", "test")
    connection.set(keys.cursor, case.cursor)

    local = LocalPool.of(pool.snapshot().servers, fail_open=case.fail_open)
    assert connection.lrange(keys.cycle, 0, -1) == local.cycle
    local.connections = Counter(case.held)
    local.cursor = case.cursor
    worker, own = Worker(connection, keys, "worker"), Counter[ServerId]()
    for batch in case.batches:
        releases = [(server, ended, 0, 0) for server, ended in batch.releases.items()]
        picked = worker.lease(batch.picks, batch.excluding, releases, batch.seed)
        assert picked == oracle(name, local, batch, own)
    assert int(connection.get(keys.cursor) or 0) == local.cursor


@every_strategy
def test_lua_and_python_step_over_the_same(
    pool: BackendPool, connection: redis.Redis, keys: Keys, name: str
) -> None:
    """Whichever of the servers are excluded."""
    servers = IDS[:4]
    pool.reconcile([spec(*each) for each in zip(servers, (1, 3, 1, 2), strict=True)], name, "test")
    worker, own = Worker(connection, keys, "w1"), Counter[ServerId]()
    local = LocalPool.of(pool.snapshot().servers)
    local.connections = Counter()
    subsets = [[*some] for size in range(1, 5) for some in itertools.combinations(servers, size)]
    for seed in range(1, 6):
        batch = Batch(seed, 0, subsets, {})
        assert worker.lease(0, subsets, seed=seed) == oracle(name, local, batch, own)


@every_strategy
@pytest.mark.parametrize("count", range(1, 6))
def test_lua_and_python_go_around_the_same(
    pool: BackendPool, connection: redis.Redis, keys: Keys, name: str, count: int
) -> None:
    """From each place of the cursor, with less than a round to more than two at once."""
    pool.reconcile([spec(server) for server in IDS[:count]], name, "test")
    worker, own = Worker(connection, keys, "w1"), Counter[ServerId]()
    local = LocalPool.of(pool.snapshot().servers)
    local.connections = Counter()
    for cursor in range(count + 2):
        for picks in range(1, 2 * count + 2):
            connection.set(keys.cursor, cursor)
            local.cursor = cursor
            batch = Batch(7, picks, [], dict(own))
            releases = [(server, ended, 0, 0) for server, ended in own.items()]
            assert worker.lease(picks, releases=releases, seed=7) == oracle(name, local, batch, own)
            assert int(connection.get(keys.cursor) or 0) == local.cursor


@every_strategy
def test_no_strategy_picks_from_an_empty_pool(
    pool: BackendPool, connection: redis.Redis, keys: Keys, name: str
) -> None:
    pool.reconcile([], name, "test")
    assert Worker(connection, keys, "w1").lease(picks=2, excluding=[IDS]) == ["", "", ""]


@every_strategy
def test_no_strategy_picks_when_all_are_excluded(
    pool: BackendPool, connection: redis.Redis, keys: Keys, name: str
) -> None:
    pool.reconcile([spec(server) for server in IDS], name, "test")
    assert Worker(connection, keys, "w1").lease(excluding=[IDS, IDS[1:]]) == ["", IDS[0]]


@pytest.mark.parametrize("name", ["round-robin", "random", "least-connections"])
def test_two_workers_share_the_load_fairly(
    pool: BackendPool, connection: redis.Redis, keys: Keys, name: str
) -> None:
    """Exactly, unless by chance; however the picks are split into batches and among workers."""
    servers, rounds = IDS[:5], 40
    pool.reconcile([spec(server) for server in servers], name, "test")
    workers = [Worker(connection, keys, f"w{n}") for n in range(2)]
    picks = Counter[ServerId]()
    for turn, batch in enumerate([1, 2, 3, 4, 5, 5] * (rounds // 4)):
        picks.update(workers[turn % 2].lease(picks=batch, seed=turn * 7919 + 1))
    assert sum(picks.values()) == rounds * len(servers)
    if name == "random":
        assert min(picks.values()) > rounds / 2
    else:
        assert picks == dict.fromkeys(servers, rounds)


@pytest.mark.parametrize("name", ["round-robin", "least-connections"])
def test_thousands_of_servers_are_picked_in_their_turns(
    pool: BackendPool, connection: redis.Redis, keys: Keys, name: str
) -> None:
    """More than the store takes in one call."""
    servers = [ServerId(f"s{number}:1") for number in range(2500)]
    pool.reconcile([spec(server) for server in servers], name, "test")
    worker = Worker(connection, keys, "w1")
    for _ in range(2):
        assert Counter(worker.lease(picks=2500)) == dict.fromkeys(servers, 1)
    worker.lease(releases=[(server, 1, 1, 0) for server in servers[1:]])
    assert worker.lease(picks=3).count(servers[0]) == (name == "round-robin")


def test_weighted_round_robin_is_exact_over_each_cycle(
    pool: BackendPool, connection: redis.Redis, keys: Keys
) -> None:
    shares = dict(zip(IDS, (5, 1, 3, 2), strict=False))
    pool.reconcile([spec(server, weight) for server, weight in shares.items()], "round-robin", "test")
    workers = [Worker(connection, keys, f"w{n}") for n in range(3)]
    picks = [server for turn in range(33) for server in workers[turn % 3].lease(picks=3)]
    for start in range(len(picks) - 10):
        assert Counter(picks[start : start + 11]) == shares
