"""Clients on kept connections, each sending one request after the other and remembering what came of it."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.integration.load import Client, CutError

#: Between two requests of a client: the load is steady, not all that the machine can do.
_PAUSE_SECONDS = 0.004
_IDLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one request. Times are monotonic seconds."""

    target: str
    host: int
    opened: float  # when its connection was
    port: int  # of the client's connection; 0 if there was none
    sent: float
    done: float
    status: int = 0
    server: str = ""
    error: str = ""


class Traffic:
    """Clients of several hosts, from entry to exit; they pause, and send exact numbers, when told to."""

    def __init__(self, urls: Sequence[str], clients: int) -> None:
        self.records: list[Record] = []
        self._urls = urls
        self._numbers = itertools.count()
        self._allowed = math.inf
        self._idle = 0
        self._stopping = False
        self._changed = threading.Condition()
        hosts = [host for host in range(len(urls)) for _ in range(clients)]
        self._threads = [threading.Thread(target=self._run, args=(host,), daemon=True) for host in hosts]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more, and end all clients."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_IDLE_SECONDS)
            assert not thread.is_alive(), "a client hangs"

    def pause(self) -> None:
        """Send no more for now, and wait until all that was sent is answered."""
        self._let(0)

    def resume(self) -> None:
        """Send again without end."""
        with self._changed:
            self._allowed = math.inf
            self._changed.notify_all()

    def burst(self, count: int) -> list[Record]:
        """Send so many requests, and return what became of them; before and after it, nothing is sent."""
        before = len(self.records)
        self._let(count)
        return self.records[before:]

    def _let(self, count: int) -> None:
        with self._changed:
            self._allowed = count
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: self._allowed == 0 and self._idle == len(self._threads), _IDLE_SECONDS
            )
            assert done, "a client hangs"

    def _may_send(self) -> bool:
        """Wait for leave to send one request; False when there will be none any more."""
        with self._changed:
            self._idle += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopping or self._allowed > 0)
            self._idle -= 1
            self._allowed -= not self._stopping
            return not self._stopping

    def _run(self, host: int) -> None:
        client, opened = None, 0.0
        while self._may_send():
            target, sent = f"/{next(self._numbers)}", time.monotonic()
            port = 0
            try:
                if client is None:
                    opened = sent
                    client = Client(self._urls[host])
                port = client.port
                answer = client.ask(target=target)
            except (OSError, CutError) as error:
                told = Record(target, host, opened, port, sent, time.monotonic(), error=repr(error))
                client = self._leave(client)
                time.sleep(0.05)  # or a host that is down costs all there is
            else:
                told = Record(
                    target, host, opened, port, sent, time.monotonic(), answer.status, answer.server
                )
                if (answer.header("Connection") or "").lower() == "close":
                    client = self._leave(client)
            self.records.append(told)
            time.sleep(_PAUSE_SECONDS)
        self._leave(client)

    @staticmethod
    def _leave(client: Client | None) -> None:
        if client is not None:
            client.close()
