"""Servers by id."""

from __future__ import annotations

from functools import partial

import pytest

from lb.errors import ServerConnectError
from lb.model import ServerId
from lb.proxy.connections import ServerConnections
from lb.proxy.deadlines import Deadlines
from lb.proxy.servers import Servers
from tests.proxy.rig import playing


def test_servers_that_leave_the_pool_are_forgotten(deadlines: Deadlines) -> None:
    make = partial(ServerConnections, deadlines=deadlines, connect_seconds=1, idle_seconds=10, max_idle=4)
    servers = Servers(make)
    with playing(lambda peer: peer.ended()) as server:
        to = servers(server.id)
        assert servers(server.id) is to
        stream = to.connect()
        to.keep(stream)
        servers.keep_only([server.id])
        assert not stream.closed
        servers.keep_only([])
        assert stream.closed
        assert servers(server.id) is not to


def test_the_connection_that_is_idle_for_the_longest_is_closed_first(deadlines: Deadlines) -> None:
    make = partial(ServerConnections, deadlines=deadlines, connect_seconds=1, idle_seconds=10, max_idle=4)
    servers = Servers(make)
    assert not servers.close_oldest()
    with playing(lambda peer: peer.ended()) as one, playing(lambda peer: peer.ended()) as two:
        streams = [servers(server.id).connect() for server in (one, two, one)]
        for server, stream in zip((one, two, one), streams, strict=True):
            deadlines.now += 1
            servers(server.id).keep(stream)
        for closed in (1, 2, 3):
            assert servers.close_oldest()
            assert [stream.closed for stream in streams] == [True] * closed + [False] * (3 - closed)
        assert not servers.close_oldest()


def test_other_addresses_that_are_left_out_end_the_connections(deadlines: Deadlines) -> None:
    """Those in use are not kept when they are done: which address they lead to is not known any more."""
    make = partial(ServerConnections, deadlines=deadlines, connect_seconds=1, idle_seconds=10, max_idle=4)
    servers = Servers(make)
    left_out = {ServerId("a:80"): frozenset({"192.0.2.1:80"})}
    with playing(lambda peer: peer.ended()) as server:
        to = servers(server.id)
        kept, used = to.connect(), to.connect()
        to.keep(kept)
        servers.keep_only([server.id], left_out)
        assert not kept.closed
        assert servers(server.id) is to
        servers.keep_only([server.id], {**left_out, server.id: frozenset({"192.0.2.1:80"})})
        assert kept.closed
        assert servers.left_out(server.id) == {"192.0.2.1:80"}
        to.keep(used)
        assert used.closed
        assert servers(server.id) is not to


@pytest.mark.parametrize(
    "server",
    [
        "",
        "nonsense",
        "127.0.0.1:99999",
        "127.0.0.1:0",
        "a:b",
        "a b:80",
        "a:80\r\nX: y:80",
        "unix:",
        "\x00:80",
    ],
)
def test_what_can_be_no_server_cannot_be_connected_to(deadlines: Deadlines, server: str) -> None:
    make = partial(ServerConnections, deadlines=deadlines, connect_seconds=1, idle_seconds=10, max_idle=4)
    with pytest.raises(ServerConnectError) as told:
        Servers(make)(ServerId(server))
    assert str(told.value).isprintable()
