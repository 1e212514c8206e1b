"""A few clients that ask all the time, unhurried, and note how long each answer took."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from types import TracebackType

from tests.integration.load import Client, CutError

_PAUSE_SECONDS = 0.02  # between two requests of one client


class Steady:
    """Clients from entry to exit; every second one connects anew for each request.

    What wrk does not tell: it forgets a request that is not answered when its time is up. These wait.
    """

    def __init__(self, url: str, path: str, clients: int) -> None:
        self.requests = 0
        self.worst_seconds = 0.0
        self.errors: list[str] = []
        self._url, self._path = url, path
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, kwargs={"anew": bool(number % 2)}) for number in range(clients)
        ]

    def __str__(self) -> str:
        told = f"{self.requests:,} requests, the worst took {1e3 * self.worst_seconds:.0f} ms"
        return f"{len(self._threads)} steady clients: {told}, {len(self.errors)} errors"

    def __enter__(self) -> Steady:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, *, anew: bool) -> None:
        with ExitStack() as connection:
            client = None
            while not self._stop.is_set():
                began, error = time.monotonic(), ""
                try:
                    client = client or connection.enter_context(Client(self._url))
                    status = client.ask(target=self._path).status
                    error = "" if status == 200 else f"status {status}"
                except (OSError, CutError) as caught:
                    error = repr(caught)
                self._note(time.monotonic() - began, error)
                if anew or error:
                    connection.close()
                    client = None
                self._stop.wait(_PAUSE_SECONDS)

    def _note(self, seconds: float, error: str) -> None:
        with self._lock:
            self.requests += 1
            self.worst_seconds = max(self.worst_seconds, seconds)
            if error:
                self.errors.append(error)
