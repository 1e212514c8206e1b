"""Hosts of their own on one machine: network namespaces, each with a cable for clients, store and servers.

The test itself stands at the other end of all cables, where its clients, the store and the servers are too.
The addresses exist within these namespaces alone.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.balancer import Balancer

STORE_ADDRESS, SERVERS_ADDRESS = "10.90.0.1", "10.90.0.2"
#: The cables of a host, by what is at the far end; their networks are 10.<number>.<host>.0/30.
CABLES = {"clients": 91, "store": 92, "servers": 93}

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Host:
    """One namespace, at the near ends of its three cables."""

    namespace: str
    number: int

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"10.{CABLES['clients']}.{self.number}.2"

    def cut(self, cable: str) -> None:
        """Pull a cable."""
        _run(f"ip link set {cable}{self.number} down")

    def mend(self, cable: str) -> None:
        """Plug it in again."""
        _run(f"ip link set {cable}{self.number} up")

    def balancer(self, config: Mapping[str, Any], workers: int) -> Balancer:
        """Make the `lb run` of this host."""
        made = Balancer({**config, "port": f"{self.address}:0"}, workers)
        made.run_with("nsenter", f"--net=/run/netns/{self.namespace}")
        return made


def reason_to_skip() -> str | None:
    """Say why no namespaces can be made here; None if they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux, and root"
    if missing := [program for program in ("ip", "nsenter") if shutil.which(program) is None]:
        return f"not installed: {', '.join(missing)}"
    name = f"lb-probe-{os.getpid()}"
    with suppress(subprocess.CalledProcessError):
        _run(f"ip netns add {name}")
        _run(f"ip netns delete {name}")
        return None
    return "this kernel, or this container, makes no network namespaces"


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """Make so many hosts; until the end the calling thread is at the far ends of their cables."""
    prefix = f"lb{os.getpid()}"
    with ExitStack() as stack:
        for name in [f"{prefix}-far", *(f"{prefix}-{number}" for number in range(count))]:
            _run(f"ip netns add {name}")
            stack.callback(_run, f"ip netns delete {name}")
            _run(f"ip -n {name} link set lo up")
        stack.enter_context(_inside(f"{prefix}-far"))
        for address in (STORE_ADDRESS, SERVERS_ADDRESS):
            _run(f"ip address add {address}/32 dev lo")
        made = [Host(f"{prefix}-{number}", number) for number in range(count)]
        for host in made:
            _connect(host)
        yield made


def _connect(host: Host) -> None:
    there = f"ip -n {host.namespace}"
    for cable, network in CABLES.items():
        name, place = f"{cable}{host.number}", f"10.{network}.{host.number}"
        _run(f"ip link add {name} type veth peer name {cable} netns {host.namespace}")
        _run(f"ip address add {place}.1/30 dev {name}")
        _run(f"ip link set {name} up")
        _run(f"{there} address add {place}.2/30 dev {cable}")
        _run(f"{there} link set {cable} up")
    _run(f"{there} route add {STORE_ADDRESS} via 10.{CABLES['store']}.{host.number}.1")
    _run(f"{there} route add {SERVERS_ADDRESS} via 10.{CABLES['servers']}.{host.number}.1")


@contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """Have the calling thread, and what it starts, in a namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    away = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
    try:
        _enter(away)
        yield
    finally:
        _enter(home)
        os.close(away)
        os.close(home)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)
