"""A receiver of webhook messages that answers as the test says, and remembers what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Message:
    line: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


class Hook:
    """`statuses` are given one after the other, then `status`; `before` is called ahead of each answer."""

    def __init__(self, port: int = 0) -> None:
        self.messages: list[Message] = []
        self.statuses: list[int] = []
        self.status = 204
        self.before: Callable[[], object] = lambda: None
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                hook.messages.append(Message(self.requestline, headers, body))
                hook.before()
                self.send_response(hook.statuses.pop(0) if hook.statuses else hook.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def told(self) -> list[tuple[str, str]]:
        """Kind and server of each message."""
        return [(message.event["kind"], message.event["server"]) for message in self.messages]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def hook(port: int = 0) -> Iterator[Hook]:
    running = Hook(port)
    try:
        yield running
    finally:
        running.close()
