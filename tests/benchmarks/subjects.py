"""The balancers under test: how each is started with one worker over the same five servers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.cpu import cpu_seconds
from tests.benchmarks.origin import Origin, run_as
from tests.benchmarks.processes import (
    executable,
    free_ports,
    pin,
    require_listener,
    running,
    tree,
    wait_until,
)
from tests.benchmarks.workloads import WORKLOADS

#: Processes that take no more than this share of a core, for so long, have started and wait.
_REST_SHARE, _REST_SECONDS = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class RunningSubject:
    """A balancer that answers, by its processes."""

    port: int
    root: int
    own_store: int | None = None  # a store that was started beside it

    @property
    def pids(self) -> list[int]:
        """Its own processes, without the store."""
        return [pid for pid in tree(self.root) if not _is_store(pid)]

    @property
    def store_pid(self) -> int | None:
        """The store's process, if it has one; not the short-lived ones that rewrite the store's file."""
        return self.own_store or next(filter(_is_store, tree(self.root)), None)

    def at_rest(self) -> bool:
        """Watch for a moment whether all of it has started, which is no part of a request's cost."""
        pids = self.pids
        with suppress(ProcessLookupError):  # one of them has ended
            before = cpu_seconds(pids)
            time.sleep(_REST_SECONDS)
            return self.pids == pids and cpu_seconds(pids) - before < _REST_SHARE * _REST_SECONDS
        return False


def _is_store(pid: int) -> bool:
    return executable(pid).startswith("valkey")


class Subject(ABC):
    """One balancer: its program, its configuration and its command."""

    name: str
    title: str
    program: str
    config_name: str
    version_arguments: Sequence[str] = ("-v",)

    @abstractmethod
    def config(self, port: int, servers: Sequence[int], directory: Path) -> str:
        """Return its configuration: forward from `port` to the servers' ports, all on 127.0.0.1."""

    @abstractmethod
    def command(self, config: Path) -> list[str]:
        """Return the command that runs it in the foreground."""

    def environment(self, directory: Path) -> dict[str, str]:
        """Return what it needs in its environment."""
        return {"HOME": str(directory)}

    @property
    def installed(self) -> bool:
        return shutil.which(self.program) is not None

    def version(self) -> str:
        """Return its version number, or an empty string if it does not tell."""
        command = [self.program, *self.version_arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"\d+(\.\d+)+", result.stdout + result.stderr)
        return found[0] if found else ""

    @contextmanager
    def running(
        self, origin: Origin, directory: Path, core: int, store_core: int
    ) -> Iterator[RunningSubject]:
        """Start it in an empty directory on `core`, its store on `store_core`; yield it once it forwards."""
        [port] = free_ports(1)
        config, log = directory / self.config_name, directory / "log"
        config.write_text(self.config(port, origin.ports, directory))
        with running(self.command(config), core, log, self.environment(directory)) as process:
            wait_until(lambda: origin.answers_on(port, WORKLOADS["tiny"]), process, log)
            require_listener(process.pid, [port])
            subject = RunningSubject(port, process.pid)
            if subject.store_pid:
                pin(subject.store_pid, store_core)
            wait_until(subject.at_rest, process, log)
            yield subject


class Nginx(Subject):
    """nginx as a reverse proxy that keeps its connections to the servers."""

    name, title, program, config_name = "nginx", "nginx", "nginx", "nginx.conf"

    def config(self, port: int, servers: Sequence[int], directory: Path) -> str:
        upstream = " ".join(f"server 127.0.0.1:{server};" for server in servers)
        return f"""
daemon off;
{run_as()}
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    client_body_temp_path {directory};
    proxy_temp_path {directory};
    proxy_max_temp_file_size 0;
    fastcgi_temp_path {directory};
    uwsgi_temp_path {directory};
    scgi_temp_path {directory};
    upstream servers {{ {upstream} keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""

    def command(self, config: Path) -> list[str]:
        return [self.program, "-c", str(config), "-e", "stderr"]


class HAProxy(Subject):
    """HAProxy with one thread, any client's request on any idle connection."""

    name, title, program, config_name = "haproxy", "HAProxy", "haproxy", "haproxy.cfg"

    def config(self, port: int, servers: Sequence[int], directory: Path) -> str:
        lines = "\n".join(
            f"    server s{number} 127.0.0.1:{server}" for number, server in enumerate(servers, 1)
        )
        return f"""
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    option forwardfor
    http-reuse always
    balance roundrobin
listen balancer
    bind 127.0.0.1:{port} backlog 4096
{lines}
"""

    def command(self, config: Path) -> list[str]:
        return [self.program, "-db", "-f", str(config)]


class Caddy(Subject):
    """Caddy's reverse_proxy on one processor, without its admin API."""

    name, title, program, config_name = "caddy", "Caddy", "caddy", "Caddyfile"
    version_arguments = ("version",)

    def config(self, port: int, servers: Sequence[int], directory: Path) -> str:
        upstreams = " ".join(f"127.0.0.1:{server}" for server in servers)
        return f"""
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    bind 127.0.0.1
    reverse_proxy {upstreams} {{
        lb_policy round_robin
        transport http {{
            keepalive_idle_conns_per_host 64
        }}
    }}
}}
"""

    def command(self, config: Path) -> list[str]:
        return [self.program, "run", "--adapter", "caddyfile", "--config", str(config)]

    def environment(self, directory: Path) -> dict[str, str]:
        return {"HOME": str(directory), "GOMAXPROCS": "1"}


class Lb(Subject):
    """`lb run` with one worker and its embedded store; the store's CPU is counted apart."""

    program, config_name = sys.executable, "config.json"
    version_arguments = ("-c", "from importlib.metadata import version; print(version('lb'))")

    def __init__(self, name: str, title: str, strategy: str) -> None:
        self.name, self.title, self.strategy = name, title, strategy

    def config(self, port: int, servers: Sequence[int], directory: Path) -> str:
        [admin_port] = free_ports(1)
        settings = {
            "port": f"127.0.0.1:{port}",
            "healthCheckInterval": "60s",
            "healthCheck": {"path": WORKLOADS["tiny"].path},
            "lbAlgo": self.strategy,
            "servers": [f"http://127.0.0.1:{server}" for server in servers],
            "dataDir": str(directory / "data"),
            "admin": {"listen": f"127.0.0.1:{admin_port}"},
            "limits": {"keepAliveRequests": 0},
        }
        return json.dumps(settings, indent=2)

    def command(self, config: Path) -> list[str]:
        return [self.program, "-m", "lb", "run", "--config", str(config), "--workers", "1"]


class LbWsgi(Lb):
    """`lb.wsgi:application` in one gevent worker of gunicorn, with a store beside it."""

    program = str(Path(sys.executable).with_name("gunicorn"))
    version_arguments = ("--version",)

    def command(self, config: Path) -> list[str]:
        address = json.loads(config.read_text())["port"]
        return [self.program, "-k", "gevent", "-w", "1", "-b", address, "lb.wsgi:application"]

    def environment(self, directory: Path) -> dict[str, str]:
        return {"HOME": str(directory), "LB_CONFIG": str(directory / self.config_name)}

    @contextmanager
    def running(
        self, origin: Origin, directory: Path, core: int, store_core: int
    ) -> Iterator[RunningSubject]:
        data, log = directory / "data", directory / "store.log"
        command = [sys.executable, "-m", "lb", "store", "--data-dir", str(data)]
        with running(command, store_core, log) as store:
            wait_until((data / "store.sock").exists, store, log)
            with super().running(origin, directory, core, store_core) as subject:
                yield replace(subject, own_store=store.pid)


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Nginx(),
        HAProxy(),
        Caddy(),
        Lb("lb", "lb", "round-robin"),
        Lb("lb-least-connections", "lb, least connections", "least-connections"),
        LbWsgi("lb-wsgi", "lb as a WSGI application, gunicorn", "round-robin"),
    )
}

#: What is measured unless `--only` names others; nginx is what the others are compared with.
USUAL = ("nginx", "haproxy", "caddy", "lb")
REFERENCE = "nginx"
