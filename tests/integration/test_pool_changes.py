"""What an operator changes under load holds for every request sent after the command returned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.fleet import Fleet, hanging, ok, server_id
from tests.integration.load import Client, Load, Outcome, shares
from tests.integration.servers import HttpServer
from tests.support import eventually

CLIENTS = 8
ENOUGH = 300


@pytest.fixture
def load(fleet: Fleet) -> Iterator[Load]:
    """Clients of all workers, that send from here to the end of the test and never see an error."""
    with fleet.load(connections=CLIENTS) as load:
        eventually(lambda: len(load.outcomes) > ENOUGH, seconds=20, what="requests")
        yield load
    assert load.errors == []


def change(fleet: Fleet, load: Load, *words: str) -> list[Outcome]:
    """Run lb-admin; return enough of the requests sent after it returned."""
    fleet.admin(*words)
    returned = time.monotonic()
    eventually(lambda: len(load.since(returned)) > ENOUGH, seconds=20, what="requests")
    return load.since(returned)


def in_flight(load: Load) -> int:
    """How far two orders of the same requests can differ: sent by clients, picked by workers."""
    return len(load.clients)


@pytest.mark.parametrize("command", ["remove", "drain", "maint"])
def test_a_server_taken_out_gets_no_request_sent_from_then_on(fleet: Fleet, load: Load, command: str) -> None:
    *others, gone = fleet.ids
    assert set(shares(change(fleet, load, command, gone))) == set(others)


def test_a_drain_that_waited_leaves_nothing_behind(fleet: Fleet, load: Load) -> None:
    """From its return on the server can be switched off: not even a request sent before reaches it."""
    server = fleet.servers[-1]
    fleet.admin("drain", "--wait", server_id(server))
    before = fleet.served()[server_id(server)]
    returned = time.monotonic()
    eventually(lambda: len(load.since(returned)) > ENOUGH, seconds=20, what="requests")
    assert fleet.served()[server_id(server)] == before


def test_an_undrained_server_is_back_within_a_cycle(fleet: Fleet, load: Load) -> None:
    fleet.admin("drain", fleet.ids[0])
    found = change(fleet, load, "undrain", fleet.ids[0])
    assert fleet.ids[0] in shares(found[: 5 + in_flight(load)])


def test_an_added_server_is_picked_within_a_cycle(fleet: Fleet, load: Load) -> None:
    with HttpServer(ok) as sixth:
        new = server_id(sixth)
        found = change(fleet, load, "add", f"http://{new}")
        assert new in shares(found[: 6 + in_flight(load)])
        fleet.admin("drain", "--wait", new)  # before it stops


def test_a_weight_counts_from_the_next_request_on(fleet: Fleet, load: Load) -> None:
    found = shares(change(fleet, load, "weight", fleet.ids[0], "4"))
    cycles = found.total() / 8
    slack = 2 * in_flight(load)
    assert abs(found[fleet.ids[0]] - 4 * cycles) < slack, found
    assert all(abs(found[one] - cycles) < slack for one in fleet.ids[1:]), found


def test_another_strategy_decides_the_next_request(fleet: Fleet) -> None:
    """With more stuck at two servers than the clients send at once, only round-robin still picks them."""
    stuck, free = fleet.ids[:2], fleet.ids[2:]
    with hanging() as hang, ExitStack() as stack:
        for server in fleet.servers[:2]:
            server.behaviour = hang
        for server in fleet.ids[2:]:
            fleet.admin("drain", server)
        for _ in range(2 * (CLIENTS + 1)):
            client = stack.enter_context(Client(fleet.url))
            client.send(client.head())
        fleet.wait_counts(dict.fromkeys(stuck, CLIENTS + 1))
        fleet.admin("strategy", "least-connections")
        for server in fleet.ids[2:]:
            fleet.admin("undrain", server)
        assert set(shares(burst(fleet, 300))) == set(free)
    fleet.wait_idle()
    fleet.admin("strategy", "round-robin")
    assert shares(burst(fleet, 300)) == dict.fromkeys(fleet.ids, 60)


def burst(fleet: Fleet, total: int) -> list[Outcome]:
    with Load(fleet.url, CLIENTS, total) as load:
        load.join()
    assert load.errors == []
    return load.outcomes
