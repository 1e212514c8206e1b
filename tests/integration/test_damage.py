"""A running balancer whose store loses keys, or gets odd ones, again and again: clients see nothing of it."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
import redis

from lb.config import parse_server_url
from lb.model import Admin, ServerId
from lb.store.client import connect, open_fleet, open_pool
from lb.store.keys import Keys
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet, server_id
from tests.integration.servers import HttpServer
from tests.support import Valkey, eventually

ROUNDS = 12
#: A pool is whole again within so many seconds.
BOUND_SECONDS = 10.0

ODD = (b"", b"abc", b"\xff\x1b[2J\n", b"-1", b"nan", b"127.0.0.1:99999", b"1e300")


def damage(store: redis.Redis, chance: random.Random) -> list[bytes]:
    """Delete some of the keys, write odd values into others, put other types in their places."""
    keys = sorted(store.keys("lb:{default}:*"))
    chosen = chance.sample(keys, chance.randint(1, len(keys)))
    for key in chosen:
        how, odd = chance.choice(("lose", "lose", "garble", "retype")), chance.choice(ODD)
        with suppress(redis.ResponseError):  # it has been put back, in its own type, since it was looked at
            if how != "garble" or key.endswith(b":schema") or not garble(store, key, odd):
                store.delete(key)
            if how == "retype":
                store.set(key, odd) if chance.random() < 0.5 else store.sadd(key, odd)
    return chosen


def garble(store: redis.Redis, key: bytes, odd: bytes) -> bool:
    """Write an odd value into a key."""
    match store.type(key):
        case b"hash":
            for field in store.hkeys(key)[:2]:
                store.hset(key, field, odd)
        case b"zset":
            store.zadd(key, {odd: 1})
        case b"list":
            store.lset(key, 0, odd)
        case b"string":
            store.set(key, odd)
        case _:
            return False
    return True


def members(fleet: Fleet) -> list[tuple[ServerId, int, Admin, str]]:
    return [(one.id, one.weight, one.admin, one.source) for one in fleet.pool.snapshot().servers]


@pytest.mark.parametrize("seed", [1, 2])
def test_requests_go_on_while_keys_are_lost_and_garbled(fleet: Fleet, seed: int) -> None:
    drained, heavy, *_ = fleet.ids
    fleet.admin("drain", drained)
    fleet.admin("weight", heavy, "3")
    before, chance = members(fleet), random.Random(seed)
    workers = open_fleet(fleet.balancer.store_url, Keys())
    pids = {worker.pid for worker in workers.workers()}
    with connect(fleet.balancer.store_url) as client, fleet.load(connections=4) as load:
        store = redis.Redis(unix_socket_path=client.connection_pool.connection_kwargs["path"])
        for _ in range(ROUNDS):
            lost = damage(store, chance)
            seen = len(load.outcomes)
            eventually(
                lambda seen=seen: (
                    not fleet.pool.snapshot().damage
                    and members(fleet) == before
                    and len(load.outcomes) > seen + 20
                    and {one.pid for one in workers.workers()} == pids
                    and not any(one.degraded_since and not one.degraded_until for one in workers.workers())
                ),
                seconds=BOUND_SECONDS,
                what=f"the pool as it was, after {lost}",
            )
        store.close()
    assert load.errors == []
    assert {outcome.status for outcome in load.outcomes} == {200}
    assert drained not in {outcome.server for outcome in load.outcomes}
    assert "repaired" in {event.kind for event in fleet.pool.events()}
    assert "Traceback" not in fleet.balancer.log
    fleet.wait_idle()


def test_a_derived_key_that_is_deleted_costs_no_request(fleet: Fleet) -> None:
    with connect(fleet.balancer.store_url) as store, fleet.load(connections=4) as load:
        for _ in range(5):
            seen = len(load.outcomes)
            store.delete("lb:{default}:cycle", "lb:{default}:load")
            eventually(
                lambda seen=seen: store.exists("lb:{default}:cycle") and len(load.outcomes) > seen + 20
            )
    assert load.errors == []


def test_a_balancer_starts_over_what_is_left_of_a_pool(three: list[HttpServer], valkey: Valkey) -> None:
    """As after a dump that was restored by half: nobody lives that knows the rest."""
    servers, keys = [f"http://{server_id(one)}" for one in three], Keys()
    pool = open_pool(valkey.url, keys)
    pool.reconcile([parse_server_url(url) for url in servers], "least-connections", "test")
    pool.set_weight(server_id(three[1]), 5, "test")
    with connect(valkey.url) as store:
        store.set(keys.version, "abc")
        store.hset(keys.weights, server_id(three[0]), "heavy")
        store.zadd(keys.servers, {"127.0.0.1:99999": 1, "nonsense": 2})
        store.set(keys.connections, "none")
        store.set(keys.checker, "nobody")
        store.delete(keys.admin, keys.urls, keys.sources, keys.cycle)
    with Balancer({"redis": valkey.url, "servers": servers}) as balancer:
        fleet = Fleet(balancer, three)
        assert {fleet.ask().status for _ in range(6)} == {200}
        assert [(one.id, one.weight) for one in pool.snapshot().servers] == [
            (server_id(one), weight) for one, weight in zip(three, (1, 5, 1), strict=True)
        ]
        eventually(lambda: all(one.last_check for one in pool.list()), what="checks")
        assert "Traceback" not in balancer.log
    with connect(valkey.url) as store:
        store.delete(*store.keys("lb:{default}:*"))
