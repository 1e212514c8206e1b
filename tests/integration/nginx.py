"""nginx as the server behind: one worker, which listens on several ports and is as many servers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.load import Client
from tests.support import eventually, free_port

_CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {home}/pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {home};
    proxy_temp_path {home};
    fastcgi_temp_path {home};
    uwsgi_temp_path {home};
    scgi_temp_path {home};
    {all_servers}
    server {{
        {listen}
        root {home}/files;
        {server}
    }}
}}
"""


@contextmanager
def running_nginx(home: Path, server: str, all_servers: str = "", count: int = 1) -> Iterator[list[int]]:
    """Run one on so many ports, and yield these; it serves what is in home/files.

    `server` is what its configuration says of each server, `all_servers` what it says of them together.
    """
    ports = [free_port() for _ in range(count)]
    listen = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not read our files
    config = home / "nginx.conf"
    config.write_text(
        _CONFIG.format(home=home, user=user, listen=listen, server=server, all_servers=all_servers)
    )
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(["nginx", "-c", str(config), "-e", "stderr"], stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(process, ports[-1], home), seconds=20, what="an answer from nginx")
        yield ports
    finally:
        process.terminate()
        process.wait(20)


def _answers(process: subprocess.Popen[bytes], port: int, home: Path) -> bool:
    assert process.poll() is None, (home / "log").read_text()
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            return client.ask("HEAD", "/").status > 0
    except OSError:
        return False
