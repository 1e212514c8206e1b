"""`/metrics` is true: as many requests as clients counted, from every host, and never less than before.

That a fail-over of the store takes nothing back either: test_engines.py.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from lb.store.client import connect
from tests.integration.balancer import Balancer
from tests.integration.figures import Samples, answered, scrape, total
from tests.integration.plenty import Clients, server
from tests.support import Valkey, eventually

REQUESTS = 100_000


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_requests_are_counted_exactly_though_a_worker_is_killed(origin: str) -> None:
    with Balancer({"servers": [origin, origin.replace("127.0.0.1", "localhost")]}, workers=4) as balancer:
        with Clients(balancer.url, REQUESTS // 2) as first:
            pass
        assert first.broken == 0
        assert answered(balancer) == first.statuses[200] == REQUESTS // 2
        assert total(balancer, "lb_request_duration_seconds_count") == REQUESTS // 2
        picks = total(balancer, "lb_lease_batch_size_sum")  # those without the store, if it was slow, aside
        assert picks == REQUESTS // 2 or total(balancer, "lb_degraded_seconds_total") > 0

        with Clients(balancer.url, REQUESTS // 2) as second:
            eventually(lambda: second.done > REQUESTS // 4, seconds=300)
            os.kill(balancer.worker_pids()[0], signal.SIGKILL)
        assert set(second.statuses) == {200}
        assert 0 < second.broken <= 16
        received = first.statuses[200] + second.statuses[200]
        assert received <= answered(balancer) <= received + second.broken
        assert len(balancer.worker_pids()) == 4


@pytest.mark.slow
def test_every_host_tells_of_all(origin: str) -> None:
    with ExitStack() as stack:
        one = stack.enter_context(Balancer({"servers": [origin]}, workers=2))
        arguments = ["--redis", one.store_url]
        two = stack.enter_context(Balancer({"servers": [origin]}, workers=2, arguments=arguments))
        with Clients(one.url, 300), Clients(two.url, 200):
            pass
        assert eventually(lambda: answered(one) == answered(two) == 500, seconds=30)
        assert total(one, "lb_workers") == total(two, "lb_workers") == 4


@contextmanager
def never_less(balancer: Balancer) -> Iterator[None]:
    """Scrape again and again; no counter may ever be below what it was."""
    over = threading.Event()
    losses: list[object] = []

    def watch() -> None:
        before: Samples = {}
        while not over.wait(0.05):
            try:
                now = scrape(balancer, ("counter", "histogram"))
            except OSError:  # the API is being restarted
                continue
            losses.extend(
                (key, value, now.get(key)) for key, value in before.items() if now.get(key, 0) < value
            )
            before = now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert losses == []


@pytest.mark.slow
def test_nothing_that_happens_to_workers_takes_anything_back(origin: str) -> None:
    with Balancer({"servers": [origin]}, workers=2) as balancer:
        received = 0
        with never_less(balancer):
            for change in (reload, one_more, one_fewer, upgrade, reload):
                with Clients(balancer.url, 1500, connections=4) as clients:
                    eventually(lambda clients=clients: clients.done > 100, seconds=60)
                    change(balancer)
                assert clients.broken == 0
                received += clients.statuses[200]
        assert answered(balancer) == received == 7500


def reload(balancer: Balancer) -> None:
    after_log(balancer, signal.SIGHUP, "reload: done")


def upgrade(balancer: Balancer) -> None:
    after_log(balancer, signal.SIGUSR2, "reload: done")


def one_more(balancer: Balancer) -> None:
    after_log(balancer, signal.SIGTTIN, "SIGTTIN, workers now: 3")


def one_fewer(balancer: Balancer) -> None:
    after_log(balancer, signal.SIGTTOU, "SIGTTOU, workers now: 2")


def after_log(balancer: Balancer, number: signal.Signals, words: str) -> None:
    count = balancer.log.count(words)
    balancer.process.send_signal(number)
    eventually(lambda: balancer.log.count(words) > count, seconds=60, what=words)


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(Path(tmp_path_factory.mktemp("s"))) as store:
        yield store


def ask(balancer: Balancer, requests: int) -> None:
    with Clients(balancer.url, requests, connections=2) as clients:
        pass
    assert clients.statuses == {200: requests}


@pytest.mark.slow
def test_a_store_that_was_emptied_has_it_all_back(origin: str, store: Valkey) -> None:
    config = {"servers": [origin], "redis": store.url}
    with Balancer(config, workers=1) as gone:
        ask(gone, 50)
        assert answered(gone) == 50
    with Balancer(config, workers=2) as balancer:
        ask(balancer, 200)
        assert answered(balancer) == 250
        with connect(store.url) as connection:
            connection.flushall()
        assert eventually(lambda: answered(balancer) == 250, seconds=30)
        ask(balancer, 100)
        assert answered(balancer) == 350


@pytest.mark.slow
def test_while_the_store_is_away_a_host_tells_what_it_knows(origin: str, store: Valkey) -> None:
    with ExitStack() as stack:
        config = {"servers": [origin], "redis": store.url}
        one, two = (stack.enter_context(Balancer(config, workers=1)) for _ in range(2))
        ask(one, 100)
        ask(two, 10)
        eventually(lambda: answered(one) == answered(two) == 110, seconds=30)
        store.kill()
        ask(one, 5)
        assert answered(one) == 115
        assert total(one, "lb_store_up") == 0
        assert eventually(lambda: total(one, "lb_workers_degraded"), seconds=30) == 1
        assert eventually(lambda: total(one, "lb_degraded_seconds_total") > 0, seconds=30)
        store.start()
        assert eventually(lambda: answered(one) == answered(two) == 115, seconds=60)
        assert total(one, "lb_store_up") == 1


@pytest.mark.slow
def test_what_was_counted_outlives_the_balancer(origin: str, store: Valkey) -> None:
    for requests in (100, 200, 300):
        with Balancer({"servers": [origin], "redis": store.url}, workers=1) as balancer:
            ask(balancer, 100)
            assert answered(balancer) == requests
