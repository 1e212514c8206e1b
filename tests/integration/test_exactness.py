"""All workers pick as one: shares are exact over the whole fleet, and so are the counts in the store."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from lb.model import Admin
from tests.integration.balancer import Balancer
from tests.integration.fleet import Fleet, hanging
from tests.integration.load import Client, Load, shares
from tests.integration.servers import Request, response
from tests.support import eventually

pytestmark = pytest.mark.alone  # who waits for the store too long picks on his own, and that is not exact


def test_sample_config_rotates_and_names_the_server_once(fleet: Fleet) -> None:
    responses = [fleet.ask() for _ in range(15)]
    assert {one.status for one in responses} == {200}
    named = [one.all("X-Forwarded-Server") for one in responses]
    urls = [[f"http://{one}"] for one in fleet.ids]
    first = urls.index(named[0])
    assert named == [urls[(first + turn) % 5] for turn in range(15)]


@pytest.mark.slow
def test_ten_thousand_requests_over_four_workers_are_two_thousand_for_each_of_five(fleet: Fleet) -> None:
    truth = dict.fromkeys(fleet.ids, 2000)
    assert fleet.share_out(10_000) == truth
    assert fleet.served() == truth


@pytest.mark.slow
def test_two_hosts_that_share_a_store_are_one(fleet: Fleet) -> None:
    config = {"servers": [f"http://{server}" for server in fleet.ids]}
    with Balancer(config, workers=2, arguments=["--redis", fleet.balancer.store_url]) as other:
        here, there = fleet.load(total=501, connections=8), Load(other.url, total=499, connections=8)
        with here, there:
            here.join()
            there.join()
    assert here.errors == there.errors == []
    assert shares(here.outcomes + there.outcomes) == dict.fromkeys(fleet.ids, 200)


def test_weights_are_exact_over_full_cycles(fleet: Fleet) -> None:
    weights = dict(zip(fleet.ids, (5, 3, 1), strict=False))
    for server in fleet.ids[3:]:
        fleet.pool.set_admin(server, Admin.DRAIN, "test")
    for server, weight in weights.items():
        fleet.pool.set_weight(server, weight, "test")
    assert fleet.share_out(900) == {server: 100 * weight for server, weight in weights.items()}


def test_random_gives_every_server_its_share(fleet: Fleet) -> None:
    """200 each is expected; the standard deviation is below 13, so five of them are never missed."""
    fleet.pool.set_strategy("random", "test")
    found = fleet.share_out(1000)
    assert set(found) == set(fleet.ids)
    assert all(135 < count < 265 for count in found.values()), found


def test_least_connections_spares_a_slow_server(fleet: Fleet) -> None:
    fleet.pool.set_strategy("least-connections", "test")
    slow = threading.Event()  # never set

    def slowly(request: Request) -> bytes:
        slow.wait(0.1)
        return response()

    fleet.servers[0].behaviour = slowly
    found = fleet.share_out(1000)
    others = [found[server] for server in fleet.ids[1:]]
    assert found[fleet.ids[0]] < min(others) / 2, found


@pytest.mark.parametrize("strategy", ["least-connections", "round-robin"])
def test_counts_are_the_truth_while_requests_hang(fleet: Fleet, strategy: str) -> None:
    fleet.pool.set_strategy(strategy, "test")
    truth = dict.fromkeys(fleet.ids, 2)
    with hanging() as hang:
        fleet.behave(hang)
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(fleet.url)) for _ in range(10)]
            for client in clients:
                client.send(client.head())
            fleet.wait_counts(truth)
            eventually(lambda: fleet.served() == truth, what="two requests at each server")
    fleet.wait_counts({})


def test_least_connections_goes_where_the_fewest_hang(fleet: Fleet) -> None:
    """Whichever workers hold the requests that hang, all see them."""
    fleet.pool.set_strategy("least-connections", "test")
    *busy, free = fleet.ids
    with ExitStack() as stack:
        hang, hang_briefly = stack.enter_context(hanging()), ExitStack()
        fleet.behave(hang)
        fleet.servers[-1].behaviour = hang_briefly.enter_context(hanging())
        for _ in fleet.servers:
            client = stack.enter_context(Client(fleet.url))
            client.send(client.head())
        fleet.wait_counts(dict.fromkeys(fleet.ids, 1))
        hang_briefly.close()
        for _ in range(10):
            fleet.wait_counts(dict.fromkeys(busy, 1))
            assert fleet.ask().server == free
