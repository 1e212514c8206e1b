"""Connections to servers: made, kept, taken again, dropped."""

from __future__ import annotations

import errno
import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest

from lb.errors import ExhaustedError, ServerConnectError, ServerError
from lb.model import ServerId
from lb.proxy import addresses, connections
from lb.proxy.connections import ServerConnections
from lb.proxy.deadlines import Deadlines
from lb.proxy.stream import Stream
from tests.proxy.rig import ScriptedServer, playing, refused_port, until

Make = Callable[..., ServerConnections]


@pytest.fixture
def make(deadlines: Deadlines) -> Make:
    def make(server: str, **settings: Any) -> ServerConnections:
        defaults = {"connect_seconds": 1.0, "idle_seconds": 10.0, "max_idle": 4}
        return ServerConnections(ServerId(server), deadlines, **{**defaults, **settings})

    return make


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with playing(lambda peer: peer.ended()) as server:
        yield server


def test_the_connection_used_last_is_taken_first(make: Make, server: ScriptedServer) -> None:
    to = make(server.id)
    first, second, third = to.connect(), to.connect(), to.connect()
    assert to.take() is None
    for stream in (second, first, third):
        to.keep(stream)
    assert [to.take(), to.take(), to.take(), to.take()] == [third, first, second, None]


def test_a_kept_connection_that_the_server_ends_is_dropped(make: Make, server: ScriptedServer) -> None:
    to = make(server.id)
    kept, other = to.connect(), to.connect()
    to.keep(kept)
    to.keep(other)
    until(lambda: server.connections == 2)
    server.peers[1].close()
    until(lambda: other.closed)
    assert to.take() is kept
    assert to.take() is None


@pytest.mark.parametrize(
    "end", [lambda peer: peer.send(b"HTTP/1.1 408 X\r\n\r\n"), lambda peer: peer.reset()]
)
def test_a_server_that_speaks_out_of_turn_or_resets_is_dropped(
    make: Make, server: ScriptedServer, end: Any
) -> None:
    to = make(server.id)
    stream = to.connect()
    to.keep(stream)
    until(lambda: server.connections == 1)
    end(server.peers[0])
    until(lambda: stream.closed)
    assert to.take() is None


def test_a_connection_with_unread_bytes_is_not_kept(make: Make, server: ScriptedServer) -> None:
    to = make(server.id)
    stream = to.connect()
    stream.buffer = b"HTTP/1.1 200 OK"
    to.keep(stream)
    assert stream.closed
    assert to.take() is None


def test_idle_connections_expire(make: Make, server: ScriptedServer) -> None:
    to = make(server.id, idle_seconds=0.05, connect_seconds=60.0)
    stream = to.connect()
    to.keep(stream)
    until(lambda: stream.closed)
    assert to.take() is None


def test_no_more_than_so_many_are_kept(make: Make, server: ScriptedServer) -> None:
    to = make(server.id, max_idle=1)
    kept, surplus = to.connect(), to.connect()
    to.keep(kept)
    to.keep(surplus)
    assert surplus.closed
    assert to.take() is kept


def test_a_refused_connection_is_told_with_its_reason(make: Make) -> None:
    with refused_port() as server, pytest.raises(ServerConnectError, match="Connection refused") as caught:
        make(server).connect()
    assert caught.value.status == 502


def test_a_connection_that_takes_too_long_is_504(make: Make, deadlines: Deadlines) -> None:
    with socket.socket() as listener, socket.socket() as queued:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        queued.connect(listener.getsockname())
        began = time.monotonic()
        with pytest.raises(ServerConnectError, match=r"no connection in 0\.1 s") as caught:
            make(f"127.0.0.1:{listener.getsockname()[1]}", connect_seconds=0.1).connect()
        assert 0.1 <= time.monotonic() - began < 5
    assert caught.value.status == 504
    assert not deadlines.streams


def lookup(monkeypatch: pytest.MonkeyPatch, *answers: list[str] | OSError) -> list[str]:
    """Have names looked up in a table, answer by answer; returns the names asked for."""
    asked: list[str] = []
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    monkeypatch.setattr(addresses.socket, "getaddrinfo", getaddrinfo)
    return asked


def test_all_addresses_of_a_name_are_tried(
    make: Make, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.id.rpartition(":")[2]
    asked = lookup(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    to = make(f"twice.example:{port}")
    for _ in range(2):
        assert to.connect()._socket.getpeername()[0] == "127.0.0.1"
    assert asked == ["twice.example"]


def full(listeners: list[socket.socket], *hosts: str) -> int:
    """Make listeners on one port whose queue is full, so that connecting lasts; return the port."""
    port = 0
    for host in hosts:
        listener = socket.create_server((host, port), backlog=0)
        port = listener.getsockname()[1]
        listeners += [listener, socket.create_connection((host, port))]
    return port


def test_dead_addresses_cost_one_time_out_together(
    make: Make, monkeypatch: pytest.MonkeyPatch, deadlines: Deadlines
) -> None:
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    sockets: list[socket.socket] = []
    to = make(f"dead.example:{full(sockets, *hosts)}", connect_seconds=0.3)
    lookup(monkeypatch, hosts)
    began = time.monotonic()
    with pytest.raises(ServerConnectError, match=r"no connection in 0\.3 s"):
        to.connect()
    assert 0.25 <= time.monotonic() - began < len(hosts) * 0.3
    for sock in sockets:
        sock.close()


def test_a_dead_address_leaves_time_for_the_next_and_is_tried_last_then(
    make: Make, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.id.rpartition(":")[2])
    with socket.create_server(("127.0.0.2", port), backlog=0) as listener:
        with socket.create_connection(listener.getsockname()):
            lookup(monkeypatch, ["127.0.0.2", "127.0.0.1"])
            to = make(f"half.example:{port}", connect_seconds=0.4)
            tried: list[Stream] = []
            for _ in range(7):
                assert to.connect(tried.append)._socket.getpeername()[0] == "127.0.0.1"
            assert sum(stream.closed for stream in tried) == 1  # the dead one, once


def test_no_address_is_blamed_for_a_connection_that_nobody_needs_any_more(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = ["127.0.0.1", "127.0.0.2"]
    sockets: list[socket.socket] = []
    to = make(f"slow.example:{full(sockets, *hosts)}")
    lookup(monkeypatch, hosts)
    waiting: list[Stream] = []
    connecting = gevent.spawn(to.connect, waiting.append)
    until(lambda: waiting).pop().close()
    with pytest.raises(ServerConnectError, match="closed while in use"):
        connecting.get()
    assert not waiting  # no other address was tried
    assert not to._addresses._failed
    for sock in sockets:
        sock.close()


def test_unix_sockets(make: Make, tmp_path: Path, deadlines: Deadlines) -> None:
    path = tmp_path / "s"
    listener = gevent.socket.socket(gevent.socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    to = make(f"unix:{path}")
    stream = to.connect()
    accepted, _ = listener.accept()
    accepted.sendall(b"x")
    assert stream.receive() == b"x"
    assert to.signature == b"\r\nX-Forwarded-Server: unix:%b\r\n\r\n" % str(path).encode()
    accepted.close()
    listener.close()
    with pytest.raises(ServerConnectError, match=r"unix:.*Connection refused"):
        to.connect()


def test_a_closed_set_closes_what_comes_back(make: Make, server: ScriptedServer) -> None:
    to = make(server.id)
    kept, used = to.connect(), to.connect()
    to.keep(kept)
    to.close()
    assert kept.closed
    assert not used.closed
    to.keep(used)
    assert used.closed


def test_failed_connections_leave_no_descriptor(make: Make, deadlines: Deadlines) -> None:
    """A socket that is only collected would warn, and warnings are errors here."""
    with refused_port() as server:
        for _ in range(3):
            with pytest.raises(ServerConnectError):
                make(server).connect()
    assert not deadlines.streams
    gc.collect()
    gevent.sleep(0)


def test_out_of_descriptors_idle_connections_give_theirs(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    socket_of_the_system, idle = connections.RawSocket, ["one", "two"]

    def two_too_many(*arguments: int) -> object:
        if idle:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return socket_of_the_system(*arguments)

    monkeypatch.setattr(connections, "RawSocket", two_too_many)
    with playing(lambda peer: peer.ended()) as server:
        make(server.id, spare=lambda: bool(idle and idle.pop())).connect().close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EADDRNOTAVAIL])
def test_running_out_of_our_own_means_is_no_failure_of_the_server(
    monkeypatch: pytest.MonkeyPatch, make: Make, code: int
) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(connections, "RawSocket", exhausted)
    with pytest.raises(ExhaustedError) as caught:
        make("127.0.0.1:1").connect()
    assert (caught.value.status, isinstance(caught.value, ServerError)) == (503, False)
