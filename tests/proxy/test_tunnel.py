"""Upgrades: bytes both ways, half-closed, refused, silent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import gevent
import pytest

from tests.proxy.rig import SHORT, Balancer, Peer, answering, playing, until

Make = Callable[..., Balancer]

ASK = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket"
    b"\r\nSec-WebSocket-Key: x\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket"
    b"\r\nSec-WebSocket-Accept: y\r\n\r\n"
)


def echoing(peer: Peer) -> None:
    """Switch, say hello in the same breath, echo, and say goodbye after the client's end."""
    request = peer.head()
    assert b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" in request
    assert b"\r\nSec-WebSocket-Key: x" in request
    peer.send(SWITCH + b"hello")
    while data := peer.exactly(4):
        peer.send(data)
    peer.send(b"bye")
    peer.close()


def test_bytes_go_both_ways_and_each_way_ends_alone(balancer: Make) -> None:
    with playing(echoing) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(ASK + b"earl")  # sent before the answer
            head = client.head()
            assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            assert b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" in head
            assert b"\r\nSec-WebSocket-Accept: y\r\n" in head
            assert client.exactly(9) == b"helloearl"
            for number in range(100):
                client.send(b"%04d" % number)
                assert client.exactly(4) == b"%04d" % number
            assert made.connections() == 1  # a tunnel counts for as long as it lasts
            client.socket.shutdown(1)
            assert client.rest() == b"bye"
        assert made.failures(server.id) == 0
        assert server.connections == 1


@pytest.mark.parametrize(
    "fields", [b"", b"Upgrade: websocket\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n"]
)
def test_a_switch_to_nothing_in_particular_is_502(balancer: Make, fields: bytes) -> None:
    """RFC 9110 §15.2.2: a 101 says which protocol comes next."""
    with playing(answering(b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % fields)) as server:
        made = balancer(server, maxRetries=0)
        assert made.ask(ASK).startswith(b"HTTP/1.1 502 ")
        assert made.failures(server.id) == 1


def test_more_than_fits_into_buffers_goes_both_ways_at_once(balancer: Make) -> None:
    data = bytes(range(256)) * 8192

    def echo_all(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH)
        while piece := peer.socket.recv(65536):
            peer.send(piece)
        peer.close()

    with playing(echo_all) as server, balancer(server).client() as client:
        client.send(ASK)
        client.head()
        sending = gevent.spawn(client.send, data)
        assert client.exactly(len(data)) == data
        sending.get()


def test_a_refused_upgrade_leaves_an_ordinary_connection(balancer: Make) -> None:
    with playing(answering(b"HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno")) as server:
        with balancer(server).client() as client:
            for _ in range(2):
                assert client.ask(ASK).endswith(b"\r\n\r\nno")
        assert server.connections == 1


@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
@pytest.mark.parametrize("who", ["client", "server"])
def test_either_side_may_leave(balancer: Make, end: Callable[[Peer], None], who: str) -> None:
    ended: list[bool] = []

    def waits(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH)
        ended.append(peer.ended())
        peer.close()

    with playing(waits) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(ASK)
            client.head()
            if who == "client":
                end(client)
                until(lambda: ended == [True])
            else:
                end(server.peers[0])
                assert client.ended()
        assert made.failures(server.id) == 0


def test_silence_ends_a_tunnel_and_traffic_keeps_it(balancer: Make) -> None:
    with playing(echoing) as server:
        made = balancer(server, timeouts={"tunnel": SHORT})
        with made.client() as client:
            client.send(ASK)
            client.head()
            client.exactly(5)
            for _ in range(4):
                gevent.sleep(0.15)
                client.send(b"ping")
                assert client.exactly(4) == b"ping"
            assert client.ended()


def test_a_switch_before_the_whole_request_is_refused(balancer: Make) -> None:
    """Else the rest of the body and the new protocol would get mixed up."""
    request = ASK.replace(b"GET", b"POST").replace(b"Host: a", b"Host: a\r\nContent-Length: 10")

    def hasty(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH)

    with playing(hasty) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(request + b"abc")
            until(lambda: server.connections == 1)
            assert client.rest().startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("who", ["client", "server"])
def test_after_one_side_has_ended_the_other_is_not_waited_for_for_long(balancer: Make, who: str) -> None:
    def quiet(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH)
        if who == "server":
            peer.socket.shutdown(1)
        peer.ended()
        gevent.sleep(5)

    with playing(quiet) as server:
        made = balancer(server, timeouts={"tunnel": "1h", "idle": SHORT})
        with made.client() as client:
            client.send(ASK)
            client.head()
            if who == "client":
                client.socket.shutdown(1)
            assert client.ended()
            until(lambda: made.clients() == 0)


def test_half_a_tunnel_lasts_while_something_moves(balancer: Make) -> None:
    def talks(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH)
        peer.ended()
        for _ in range(5):
            gevent.sleep(0.1)
            peer.send(b"more")
        peer.close()

    with playing(talks) as server, balancer(server, timeouts={"idle": SHORT}).client() as client:
        client.send(ASK)
        client.head()
        client.socket.shutdown(1)
        assert client.rest() == b"more" * 5


def test_who_takes_slowly_what_comes_is_not_silent(balancer: Make) -> None:
    """It says nothing itself, and the kernel tells of room only after a while."""
    flood = bytes(8 << 20)

    def floods(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH + flood)
        peer.ended()

    with playing(floods) as server:
        made = balancer(server, timeouts={"tunnel": SHORT})
        with made.client() as client:
            client.send(ASK)
            client.head()
            taken = 0
            for _ in range(20):
                taken += len(client.exactly(32 << 10))
                gevent.sleep(0.06)
            while taken < len(flood):
                taken += len(client.exactly(min(65536, len(flood) - taken)))
            client.send(b"x")
            assert client.ended()


def test_who_takes_nothing_is_not_kept_by_what_it_says(balancer: Make) -> None:
    def floods(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH)
        gevent.spawn(peer.rest)
        while True:
            peer.send(bytes(65536))

    with playing(floods) as server:
        made = balancer(server, timeouts={"tunnel": SHORT})
        with made.client() as client:
            client.send(ASK)
            client.head()
            with suppress(ConnectionError):
                while True:
                    client.send(b"ping")
                    gevent.sleep(0.02)


def test_what_a_server_said_before_it_left_arrives_though_the_client_still_speaks(balancer: Make) -> None:
    """Its end resets what comes on, and that reset is not the client's."""
    said = bytes(range(256)) * 64

    def leaves(peer: Peer) -> None:
        peer.head()
        peer.send(SWITCH + said)
        peer.close()

    with playing(leaves) as server:
        made = balancer(server)
        for _ in range(5):
            with made.client() as client:
                client.send(ASK)
                client.head()
                client.send(bytes(8 << 20))
                assert client.rest() == said
