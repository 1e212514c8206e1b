"""Stores of more than one node for tests: Sentinel and Cluster from the embedded store's own program."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import redis
import trustme
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from lb.store.embedded import binary
from lb.store.keys import Keys
from tests.support import eventually, free_port
from tests.tls_front import TlsFront

#: What lb needs of a store, as lb/docs/engines.md gives it; the user's name is lb.
ACL_RULE = (
    "~lb:* -@all +@read +@write -@dangerous +@connection"
    " +time +eval +evalsha +script|load +role +cluster|slots"
)
PASSWORD = "p@ss/w:rd?&%41"
#: What lb needs of a sentinel.
SENTINEL_ACL_RULE = "-@all +@connection +sentinel|master"
SENTINEL_PASSWORD = "s%&@"

SERVICE = "main"
_CREDENTIALS = f"lb:{quote(PASSWORD, safe='')}"


class Node:
    """One process of the store's program, on a free port of the loopback interface."""

    def __init__(self, home: Path, name: str, *lines: str, sentinel: bool = False) -> None:
        self.port = free_port()
        self._directory = home / name
        self._directory.mkdir()
        self._config = self._directory / "node.conf"
        common = (f"port {self.port}", "bind 127.0.0.1", f"dir {self._directory}", 'save ""')
        common += ("repl-diskless-sync-delay 0",)
        self._config.write_text("\n".join([*(common[:3] if sentinel else common), *lines, ""]))
        self._command = [str(binary()), str(self._config), *(["--sentinel"] if sentinel else [])]
        self._process: subprocess.Popen[bytes] | None = None
        once = Retry(NoBackoff(), 0)
        self.client = redis.Redis(port=self.port, decode_responses=True, protocol=2, retry=once)

    @property
    def log(self) -> Path:
        return self._directory / "log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        eventually(self.answers, seconds=10, what="an answer from the store")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """Stop it without its noticing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log.read_text()
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False

    def close(self) -> None:
        """End it, and leave its connections."""
        self.kill()
        self.client.close()


class Engine:
    """Nodes from entry to exit; `url` is what lb is given, whose user may no more than what is documented."""

    url: str

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="lb-"))
        self.nodes: list[Node] = []

    def __enter__(self) -> Engine:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start all nodes, and wait until the store would survive the loss of its primary."""
        raise NotImplementedError

    def primary(self) -> Node:
        """Return the node that holds the pool, as all say who can be asked."""
        ports = eventually(lambda: ports if len(ports := self._primary_ports()) == 1 else None, seconds=20)
        return next(node for node in self.nodes if node.port in ports)

    def _primary_ports(self) -> set[int]:
        raise NotImplementedError

    def fail_over(self) -> None:
        """Kill the primary; another takes over by itself."""
        self.primary().kill()

    def _add(self, name: str, *lines: str, sentinel: bool = False) -> Node:
        node = Node(self.home, name, *lines, sentinel=sentinel)
        self.nodes.append(node)
        node.start()
        return node

    def close(self) -> None:
        """End all of it."""
        for node in self.nodes:
            node.close()
        shutil.rmtree(self.home)


class Sentinel(Engine):
    """A primary with two replicas, and three sentinels that take it for down after half a second."""

    def start(self) -> None:
        user = f'user lb on ">{PASSWORD}" {ACL_RULE}'
        servers = [self._add("primary", user)]
        follow = f"replicaof 127.0.0.1 {servers[0].port}"
        servers += [self._add(f"replica{number}", user, follow) for number in (1, 2)]
        for replica in servers[1:]:
            eventually(lambda replica=replica: linked(replica), seconds=10, what="a replica that follows")
        self._sentinels = [
            self._add(
                f"sentinel{number}",
                f"sentinel monitor {SERVICE} 127.0.0.1 {servers[0].port} 2",
                f"sentinel down-after-milliseconds {SERVICE} 500",
                f"sentinel failover-timeout {SERVICE} 2000",
                f'user lb on ">{SENTINEL_PASSWORD}" {SENTINEL_ACL_RULE}',
                sentinel=True,
            )
            for number in (1, 2, 3)
        ]
        eventually(
            lambda: all(map(self._sees_all, self._sentinels)), seconds=20, what="sentinels that see all"
        )
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self._sentinels)
        self.url = (
            f"redis+sentinel://{_CREDENTIALS}@{places}/{SERVICE}"
            f"?sentinel_username=lb&sentinel_password={quote(SENTINEL_PASSWORD)}"
        )

    def _primary_ports(self) -> set[int]:
        return {self._state(sentinel)["port"] for sentinel in self._sentinels}

    def fail_over_without(self, act: Callable[[], None]) -> None:
        """Kill the primary after an act that its replicas do not hear of."""
        primary = self.primary()
        replicas = [node for node in self.nodes[:3] if node is not primary]
        for replica in replicas:
            replica.freeze()
        primary.client.client_kill_filter(_type="replica")
        act()
        primary.kill()
        for replica in replicas:
            replica.thaw()

    def _sees_all(self, sentinel: Node) -> bool:
        state = self._state(sentinel)
        return (state["num-slaves"], state["num-other-sentinels"]) == (2, 2)

    def _state(self, sentinel: Node) -> Any:
        return sentinel.client.sentinel_master(SERVICE)


class Cluster(Engine):
    """Three primaries with a replica each, which take one for down after a second."""

    def start(self) -> None:
        for number in range(6):
            bus = free_port()
            self._add(
                f"node{number}",
                "cluster-enabled yes",
                f"cluster-port {bus}",
                "cluster-node-timeout 1000",
                "cluster-replica-validity-factor 0",
                f'user lb on ">{PASSWORD}" {ACL_RULE}',
            )
            self.nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[-1].port, bus)
        for node, (first, last) in zip(self.nodes, ((0, 5460), (5461, 10922), (10923, 16383)), strict=False):
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        eventually(lambda: all(len(known(node)) == 6 for node in self.nodes), seconds=20, what="six that met")
        for primary, replica in zip(self.nodes[:3], self.nodes[3:], strict=True):
            identity = primary.client.execute_command("CLUSTER", "MYID")
            eventually(
                lambda replica=replica, identity=identity: follows(replica, identity),
                seconds=10,
                what="a replica that follows",
            )
        eventually(lambda: all(map(serves, self.nodes)), seconds=20, what="a cluster that serves")
        self.url = (
            f"redis+cluster://{_CREDENTIALS}@127.0.0.1:{self.nodes[0].port},127.0.0.1:{self.nodes[4].port}"
        )

    def reshard(self, seconds: float) -> None:
        """Move the pool to another primary, key by key, within so many seconds."""
        slot = key_slot(Keys().servers.encode())
        source = self.primary()
        target = next(node for node in self.nodes[:3] if node is not source)
        here, there = (node.client.execute_command("CLUSTER", "MYID") for node in (source, target))
        target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
        keys = source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        for key in keys:
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
            time.sleep(seconds / len(keys))
        for node in (target, source, *self.nodes[1:3]):
            node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", there)

    def _primary_ports(self) -> set[int]:
        slot = key_slot(Keys().servers.encode())
        ports = set()
        for node in self.nodes:
            with suppress(redis.ConnectionError):
                for first, last, (_, port, *_), *_ in node.client.execute_command("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        ports.add(port)
        return ports


class ClusterTls(Cluster):
    """Three primaries, each behind TLS that asks for a certificate, and named by their certificate's name."""

    def start(self) -> None:
        authority, self._fronts = trustme.CA(), []
        for number in range(3):
            bus = free_port()
            front = TlsFront(lambda number=number: self._dial(number), self.home, authority)
            self._fronts.append(front)
            front.__enter__()
            self._add(
                f"node{number}",
                "cluster-enabled yes",
                f"cluster-port {bus}",
                f"cluster-announce-port {front.port}",
                "cluster-announce-hostname localhost",
                "cluster-preferred-endpoint-type hostname",
                f'user lb on ">{PASSWORD}" {ACL_RULE}',
            )
            self.nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[-1].port, bus)
        for node, (first, last) in zip(self.nodes, ((0, 5460), (5461, 10922), (10923, 16383)), strict=True):
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        eventually(lambda: all(map(is_whole, self.nodes)), seconds=20, what="a cluster that serves")
        places = ",".join(f"localhost:{front.port}" for front in self._fronts[:2])
        self.url = f"rediss+cluster://{_CREDENTIALS}@{places}?{self._fronts[0].options_with_client}"

    def close(self) -> None:
        for front in self._fronts:
            front.__exit__(None, None, None)
        super().close()

    def _dial(self, number: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.nodes[number].port))

    def _primary_ports(self) -> set[int]:
        announced = {front.port: node.port for front, node in zip(self._fronts, self.nodes, strict=True)}
        return {announced[port] for port in super()._primary_ports()}


class SingleTls(Engine):
    """One server that writes all to its file, behind TLS that asks for a certificate; it is started again."""

    def start(self) -> None:
        server = self._add("server", "appendonly yes", f'user lb on ">{PASSWORD}" {ACL_RULE}')
        self._front = TlsFront(lambda: socket.create_connection(("127.0.0.1", server.port)), self.home)
        self._front.__enter__()
        self.url = f"rediss://{_CREDENTIALS}@localhost:{self._front.port}/0?{self._front.options_with_client}"

    def fail_over(self) -> None:
        """Kill it, and start it again when everyone has noticed."""
        (server,) = self.nodes
        server.kill()
        time.sleep(1)
        server.start()

    def close(self) -> None:
        self._front.__exit__(None, None, None)
        super().close()


class Single(Engine):
    """One server, which the test talks into refusing, or into reading its file slowly."""

    def start(self) -> None:
        server = self._add(
            "server",
            f'user lb on ">{PASSWORD}" {ACL_RULE}',
            "rdbcompression no",
            "loading-process-events-interval-bytes 1024",
            "key-load-delay 10000",  # microseconds
        )
        self.url = f"redis://{_CREDENTIALS}@127.0.0.1:{server.port}"

    @property
    def server(self) -> Node:
        return self.nodes[0]

    def acl(self, *words: str) -> None:
        """Change the user's rights, and end its connections."""
        self.server.client.execute_command("ACL", "SETUSER", "lb", *words)
        self.server.client.execute_command("CLIENT", "KILL", "USER", "lb")


def linked(replica: Node) -> bool:
    """Tell whether a replica has its primary's data."""
    return bool(replica.client.info("replication")["master_link_status"] == "up")


def known(node: Node) -> list[str]:
    """List the nodes that a node of a cluster has shaken hands with."""
    rows: str = node.client.execute_command("CLUSTER", "NODES")
    return [row for row in rows.splitlines() if "handshake" not in row]


def follows(replica: Node, primary: str) -> bool:
    """Have a node replicate another, once it knows it."""
    with suppress(redis.ResponseError):
        replica.client.execute_command("CLUSTER", "REPLICATE", primary)
        return True
    return False


def is_whole(node: Node) -> bool:
    """Tell whether a node takes its cluster for whole."""
    state: str = node.client.execute_command("CLUSTER", "INFO")
    return {"cluster_state:ok", "cluster_slots_ok:16384"} <= set(state.splitlines())


def serves(node: Node) -> bool:
    """Tell whether a node takes its cluster for whole, and its copy, if it is one, for complete."""
    replication = node.client.info("replication")
    return (
        is_whole(node)
        and replication.get("master_link_status", "up") == "up"
        and (replication["role"] == "slave" or replication["connected_slaves"] == 1)
    )
