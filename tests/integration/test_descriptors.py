"""A worker that may open few files serves as many clients as it can, and the others after them."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.integration.balancer import Balancer
from tests.integration.load import Client, CutError
from tests.integration.servers import Request, response, servers

OPEN_FILES = 256
CLIENTS = 300


def slowly(_request: Request) -> bytes:
    time.sleep(0.01)
    return response(200, b"ok")


class Crowd:
    """Clients that connect all at once. Half of them ask again and again, the others stay and are silent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.statuses: Counter[int] = Counter()
        self._here = threading.Barrier(CLIENTS)
        self._done = threading.Event()
        self._lock = threading.Lock()

    def act(self, number: int) -> None:
        with Client(self.url) as client:
            self._here.wait(60)
            self._ask(client)
            if number % 2:
                self._done.wait(60)
                return
            try:
                for _ in range(20):
                    self._ask(client)
            except (CutError, ConnectionError):
                return  # the answer before said so, or it was slow enough to be idle

    def _ask(self, client: Client) -> None:
        status = client.ask().status
        with self._lock:
            self.statuses[status] += 1
            if self.statuses.total() >= CLIENTS:
                self._done.set()


def test_no_client_gets_an_error_for_want_of_descriptors() -> None:
    with servers(3) as behind:
        for server in behind:
            server.behaviour = slowly
        balancer = Balancer({"servers": [f"http://localhost:{server.port}" for server in behind]})
        balancer.run_with("prlimit", f"--nofile={OPEN_FILES}:{OPEN_FILES}")
        with balancer, ThreadPoolExecutor(CLIENTS) as pool:
            crowd = Crowd(balancer.url)
            assert [*pool.map(crowd.act, range(CLIENTS))] == [None] * CLIENTS
            lines = re.findall(r"limits\.clients.*", balancer.log)
            assert "cannot accept" not in balancer.log
    assert [*crowd.statuses] == [200]
    assert crowd.statuses.total() >= CLIENTS
    assert lines[0].startswith("limits.clients: 10000, but 256 open files allow 96 for each worker")
    assert 2 <= len(lines) <= 5, lines
