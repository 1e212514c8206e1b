"""The server behind every balancer: one nginx that listens on five ports, with the same answers on all."""

from __future__ import annotations

import http.client
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.processes import (
    BenchmarkError,
    free_ports,
    require_listener,
    running,
    tree,
    wait_until,
)
from tests.benchmarks.workloads import WORKLOADS, Workload

_PORTS = 5

# A POST is read as a whole before /post asks the second server, which answers how much came.
_CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    open_file_cache max=16 inactive=1h;
    client_body_buffer_size 64k;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    upstream counter {{ server unix:{directory}/counter; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        {listen}
        root {directory}/files;
        location = /tiny {{ return 200 "{token}\\n"; }}
        location = /post {{
            proxy_pass http://counter;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
    server {{
        listen unix:{directory}/counter;
        location / {{ return 200 "{token} $content_length\\n"; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The running origin. Its answers carry a token of this run, so nothing else is mistaken for it."""

    ports: tuple[int, ...]
    token: str
    root: int = 0  # its first process

    @property
    def pids(self) -> list[int]:
        return tree(self.root)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def answers_on(self, port: int, workload: Workload) -> bool:
        """Whether one request of the workload to that port is answered as this origin does."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request(workload.method, workload.path, body=b"x" * workload.sent_bytes or None)
            response = connection.getresponse()
            return response.status == 200 and response.read() == self._body(workload)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def require_answers(self, port: int, workload: Workload, who: str) -> None:
        """Raise BenchmarkError unless each of several requests in a row is answered as this origin does."""
        if not all(self.answers_on(port, workload) for _ in range(2 * len(self.ports))):
            raise BenchmarkError(
                f"{who} does not pass on the origin's answers to {workload.method} {workload.path}"
            )

    def _body(self, workload: Workload) -> bytes:
        if workload.sent_bytes:
            return f"{self.token} {workload.sent_bytes}\n".encode()
        return (
            _file(self.token, workload.served_bytes) if workload.served_bytes else f"{self.token}\n".encode()
        )


def run_as() -> str:
    """Return nginx's `user` line: its worker must be able to read a directory that only we may read."""
    return "user root;" if os.geteuid() == 0 else ""


@contextmanager
def running_origin(directory: Path, core: int) -> Iterator[Origin]:
    """Start the origin with its files in an empty directory; yield it once it answers."""
    origin = Origin(tuple(free_ports(_PORTS)), secrets.token_hex(8))
    (directory / "files").mkdir()
    for workload in WORKLOADS.values():
        if workload.served_bytes:
            (directory / "files" / workload.path[1:]).write_bytes(_file(origin.token, workload.served_bytes))
    config, log = directory / "nginx.conf", directory / "log"
    listen = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in origin.ports)
    config.write_text(_CONFIG.format(directory=directory, user=run_as(), listen=listen, token=origin.token))
    with running(["nginx", "-c", str(config), "-e", "stderr"], core, log) as process:
        wait_until(lambda: origin.answers_on(origin.ports[-1], WORKLOADS["tiny"]), process, log)
        require_listener(process.pid, origin.ports)
        yield replace(origin, root=process.pid)


def _file(token: str, size: int) -> bytes:
    return token.encode().ljust(size, b".")
