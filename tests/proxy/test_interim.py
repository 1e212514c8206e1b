"""Interim responses: any number, none for ever, and never in the way of what else is sent."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import ServerError
from lb.proxy.deadlines import Deadlines
from lb.proxy.interim import Allowance, offer
from lb.proxy.stream import Stream
from tests.proxy.rig import GET, OK, SHORT, Balancer, Peer, Script, answering, playing, sockets, until

Make = Callable[..., Balancer]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
PIECE = 4096


def upload(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


def acknowledging(pieces: int, *, padding: int = 0, end: Callable[[Peer], object] | None = None) -> Script:
    """A script that acknowledges each piece of an upload (104), and answers."""

    def script(peer: Peer) -> None:
        peer.head()
        for number in range(pieces):
            peer.exactly(PIECE)
            line = b"Upload-Offset: %d\r\nP: %b" % (number * PIECE, b"p" * padding)
            peer.send(b"HTTP/1.1 104 Upload Resumption Supported\r\n%b\r\n\r\n" % line)
        (end or (lambda peer: peer.send(OK)))(peer)

    return script


@pytest.mark.parametrize("pieces", [33, 1000])
def test_an_upload_may_be_acknowledged_piece_by_piece(balancer: Make, pieces: int) -> None:
    with playing(acknowledging(pieces)) as server, playing(answering()) as other:
        made = balancer(server, other)
        with made.client() as client:
            client.send(upload(pieces * PIECE))
            for number in range(pieces):
                client.send(bytes(PIECE))
                assert b"\r\nUpload-Offset: %d\r\n" % (number * PIECE) in client.head()
            assert client.message().endswith(b"ok")
        assert not other.connections
        assert made.failures(server.id) == 0


def _hangs_up(peer: Peer) -> None:
    peer.close()


@pytest.mark.parametrize(
    ("end", "status"), [(None, b"200"), (_hangs_up, b"502"), (lambda peer: peer.send(b"no\r\n\r\n"), b"502")]
)
def test_a_client_may_read_none_of_them_while_it_sends(
    balancer: Make, end: Callable[[Peer], object] | None, status: bytes
) -> None:
    """What it has no room for is dropped; what had begun is finished, whatever comes next."""
    pieces, done = 512, gevent.event.Event()

    def finish(peer: Peer) -> None:
        done.set()
        (end or (lambda peer: peer.send(OK)))(peer)

    with playing(acknowledging(pieces, padding=1000, end=finish)) as server, playing(answering()) as other:
        made = balancer(server, other, timeouts={"responseHead": SHORT})
        with made.client() as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            until(made.clients)
            for stream in made.plane._acceptor.clients:
                stream._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.send(upload(pieces * PIECE))
            for _ in range(pieces):
                client.send(bytes(PIECE))
            assert done.wait(10)
            heads = [client.head()]
            while heads[-1].startswith(b"HTTP/1.1 104 "):
                heads.append(client.head())
        assert 1 < len(heads) < pieces
        assert all(
            re.fullmatch(rb"[^\r]+\r\nUpload-Offset: \d+\r\nP: p{1000}\r\n\r\n", h) for h in heads[:-1]
        )
        assert heads[-1].startswith(b"HTTP/1.1 " + status)
        assert not other.connections


def test_they_are_signs_of_life(balancer: Make) -> None:
    def processing(peer: Peer) -> None:
        while peer.message():
            for _ in range(8):
                gevent.sleep(0.1)
                peer.send(PROCESSING)
            peer.send(OK)

    with playing(processing) as server:
        made = balancer(server, timeouts={"responseHead": SHORT})
        assert made.ask(b"GET / HTTP/1.0\r\n\r\n").endswith(b"ok")
        with made.client() as client:
            client.send(GET)
            assert client.exactly(8 * len(PROCESSING)) == 8 * PROCESSING
            assert client.message().endswith(b"ok")


@pytest.mark.parametrize("first", [b"", CONTINUE, PROCESSING * 3])
def test_silence_after_them_is_silence(balancer: Make, first: bytes) -> None:
    def silent(peer: Peer) -> None:
        peer.message()
        peer.send(first)
        peer.ended()

    with playing(silent) as server:
        with balancer(server, timeouts={"responseHead": SHORT}).client() as client:
            client.send(GET)
            assert client.rest().startswith(first + b"HTTP/1.1 504 ")


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", CONTINUE), (b"", PROCESSING), (b"HTTP/1.1 102 Processing\r\nX: ", b"x"), (PROCESSING, b"H")],
)
@pytest.mark.parametrize("request_bytes", [GET, upload(3) + b"abc", upload(3)])
def test_what_only_drips_is_a_silence(
    balancer: Make, first: bytes, drop: bytes, request_bytes: bytes
) -> None:
    """A server may put its answer off for ten waits, and no byte of a head puts off its end."""

    def dripping(peer: Peer) -> None:
        peer.head()
        peer.send(first)
        while True:
            peer.send(drop)
            gevent.sleep(0.02)

    with playing(dripping) as server:
        made = balancer(server, maxRetries=0, timeouts={"responseHead": "60ms"})
        with made.client() as client:
            client.send(request_bytes)
            if request_bytes == upload(3):
                gevent.sleep(0.7)  # while the client is awaited, the server may drip
                client.send(b"abc")
            answer = client.rest()
        assert re.sub(rb"HTTP/1.1 10.+?\r\n\r\n", b"", answer).startswith(
            (b"HTTP/1.1 504 ", b"HTTP/1.1 502 ")
        )
        assert made.failures(server.id) == 1


@pytest.mark.parametrize("request_bytes", [GET, b"GET / HTTP/1.0\r\n\r\n", upload(9)])
def test_a_flood_of_them_is_502(balancer: Make, request_bytes: bytes) -> None:
    def flooding(peer: Peer) -> None:
        peer.head()
        while True:
            peer.send(CONTINUE * 1000)

    with playing(flooding) as server:
        made = balancer(server, maxRetries=0)
        with made.client() as client:
            client.send(request_bytes)
            assert client.rest().replace(CONTINUE, b"").startswith(b"HTTP/1.1 502 ")
        assert made.failures(server.id) == 1


@given(st.lists(st.tuples(st.integers(1, 32768), st.integers(0, 65536)), max_size=200))
def test_a_flood_is_what_exceeds_the_allowance(sent: list[tuple[int, int]]) -> None:
    """In bytes: as many as came of the body, and a certain number more; time only adds to it."""
    allowance = Allowance(32768)
    size = uploaded = 0
    for more, body in sent:
        size, uploaded = size + more, uploaded + body
        try:
            allowance.take(more, uploaded)
        except ServerError:
            assert size > uploaded + (1 << 18)
            return
        assert size <= uploaded + (1 << 18) + 32768 + (1 << 20)  # 16 seconds, which no example takes


@given(sizes=st.lists(st.integers(1, 6000), min_size=1, max_size=40), reads=st.lists(st.integers(0, 9000)))
def test_what_was_begun_is_finished_first_and_what_was_not_is_dropped(
    sizes: list[int], reads: list[int]
) -> None:
    """Whatever the peer takes, and whenever: it gets whole messages, in order, and the last one always."""
    deadlines = Deadlines()
    messages = [b"<%b>" % (b"%d " % number * size)[:size] for number, size in enumerate(sizes)]
    with sockets() as (raw, other):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        stream = Stream(raw, deadlines)
        got, left = b"", list(reads)
        for message in messages[:-1]:
            offer(stream, message)
            if left and (size := left.pop()) and stream.sent > len(got):
                got += other.recv(size)
        sending = gevent.spawn(stream.send_all, messages[-1])
        while len(got) < stream.sent or not sending.ready():
            got += other.recv(65536)
        stream.close()
    deadlines.close()
    assert stream.sent == len(got)
    expected = iter(messages)
    found = re.findall(rb"<[^>]*>", got)
    assert b"".join(found) == got
    assert all(message in expected for message in found)  # in their order
    assert found[-1] == messages[-1]
