"""Answers on their way to a client: framing, ends, and what becomes of both connections."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import gevent
import pytest

from lb.proxy.body import chunk, last_chunk
from tests.proxy.rig import GET, OK, SHORT, Balancer, Peer, answering, playing, saying, until

Make = Callable[..., Balancer]

OLD_GET = b"GET / HTTP/1.0\r\n\r\n"
LARGE = bytes(range(256)) * 16384  # 4 MiB
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_large_body_comes_whole_and_the_connections_go_on(balancer: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE
    with playing(answering(answer)) as server, balancer(server).client() as client:
        for _ in range(3):
            assert client.ask().endswith(LARGE)
        assert server.connections == 1


def test_an_answer_without_a_date_gets_one(balancer: Make) -> None:
    """RFC 9110 §6.6.1: who receives it says when that was. An interim answer needs none."""
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with playing(answering(answer)) as server, balancer(server).client() as client:
        client.send(GET)
        assert b"\r\nDate: " not in client.head()
        said = re.search(rb"\r\nDate: ([^\r]*)", client.message())
        assert said
        age = datetime.now(UTC) - parsedate_to_datetime(said[1].decode())
        assert 0 <= age.total_seconds() < 5


def test_a_servers_date_is_its_own(balancer: Make) -> None:
    with playing(answering(OK.replace(b"Date", b"date"))) as server, balancer(server).client() as client:
        assert client.ask().lower().count(b"\r\ndate:") == 1


def test_a_chunked_body_is_framed_anew_with_its_trailers(balancer: Make) -> None:
    answer = CHUNKED + b"3;x\r\nabc\r\n" + last_chunk(b"\r\nX-Sum: 1\r\nSet-Cookie: a=b")
    with playing(answering(answer)) as server, balancer(server).client() as client:
        for _ in range(2):
            client.send(GET)
            head = client.head()
            assert b"\r\nTransfer-Encoding: chunked\r\n" in head
            assert client.exactly(21) == b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n"
            assert client.exactly(2) == b"\r\n"
        assert server.connections == 1


def test_pieces_arrive_as_they_are_sent(balancer: Make) -> None:
    go_on = gevent.event.Event()

    def trickle(peer: Peer) -> None:
        peer.message()
        peer.send(CHUNKED + chunk(b"one"))
        go_on.wait()
        peer.send(chunk(b"two") + last_chunk(b""))

    with playing(trickle) as server, balancer(server).client() as client:
        client.send(GET)
        client.head()
        assert client.exactly(8) == b"3\r\none\r\n"
        go_on.set()
        assert client.exactly(13) == b"3\r\ntwo\r\n0\r\n\r\n"


def test_a_body_that_ends_with_the_connection_is_chunked_for_1_1(balancer: Make) -> None:
    with playing(saying(b"HTTP/1.1 200 OK\r\n\r\nab", b"cd")) as server:
        made = balancer(server)
        with made.client() as client:
            for _ in range(2):
                client.send(GET)
                assert b"\r\nTransfer-Encoding: chunked\r\n" in client.head()
                assert client.exactly(19) == b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
        with made.client() as old:
            old.send(OLD_GET)
            head, _, body = old.rest().partition(b"\r\n\r\n")
            assert (b"chunked" in head, body) == (False, b"abcd")


def test_a_chunked_body_ends_with_the_connection_for_1_0(balancer: Make) -> None:
    with playing(answering(CHUNKED + chunk(b"abc") + last_chunk(b""))) as server:
        with balancer(server).client() as client:
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, _, body = client.rest().partition(b"\r\n\r\n")
            assert (b"chunked" in head, body) == (False, b"abc")
            assert b"\r\nConnection: close" in head


def test_a_server_that_requires_an_upgrade_says_which(balancer: Make) -> None:
    """RFC 9110 §15.5.22: a 426 has an Upgrade field, which is for this connection too."""
    required = (
        b"HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: x/2\r\nContent-Length: 0\r\n\r\n"
    )
    with playing(answering(required)) as server:
        with balancer(server).client() as client:
            for _ in range(2):
                head = client.ask()
                assert b"\r\nUpgrade: x/2\r\n" in head
                assert head.lower().count(b"\r\nconnection: upgrade\r\n") == 1
            assert server.connections == 1


def test_no_other_answer_offers_an_upgrade(balancer: Make) -> None:
    offer = OK.replace(b"\r\n", b"\r\nConnection: upgrade\r\nUpgrade: x/2\r\n", 1)
    with playing(answering(offer)) as server:
        assert b"pgrade" not in balancer(server).ask()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_without_a_body(balancer: Make, status: bytes) -> None:
    with playing(answering(b"HTTP/1.1 %b\r\nX: 1\r\n\r\n" % status)) as server:
        with balancer(server).client() as client:
            for _ in range(2):
                assert client.ask().startswith(b"HTTP/1.1 " + status)
            assert server.connections == 1


def test_the_answer_to_head_has_a_length_and_no_body(balancer: Make) -> None:
    with playing(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")) as server:
        with balancer(server).client() as client:
            for _ in range(2):
                client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert b"\r\nContent-Length: 50\r\n" in client.head()
            assert server.connections == 1


@pytest.mark.parametrize(("method", "first"), [
    (b"HEAD", b"200 OK"), (b"HEAD", b"404 No"), (b"GET", b"204 No"), (b"GET", b"304 No"),
])  # fmt: skip
@pytest.mark.parametrize("framing", [
    b"Content-Length: 0\r\nTransfer-Encoding: chunked", b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: x", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, chunked",
])  # fmt: skip
def test_an_answer_without_a_body_ends_at_the_empty_line_whatever_its_fields_say(
    balancer: Make, method: bytes, first: bytes, framing: bytes
) -> None:
    """RFC 9112 §6.3, 1. The server works; only its connection is not used again."""
    answer = b"HTTP/1.1 %b\r\nA: 1\r\n%b\r\n\r\n" % (first, framing)
    with playing(answering(answer)) as server:
        made = balancer(server, maxRetries=0)
        with made.client() as client:
            for _ in range(3):
                client.send(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
                head = client.head()
                assert head.startswith(b"HTTP/1.1 %b\r\nA: 1\r\n" % first)
                assert b"\r\nContent-Length" not in head
                assert b"\r\nTransfer-Encoding" not in head
        assert server.connections == 3
        assert made.failures(server.id) == 0


def test_a_head_that_was_taken_for_head_is_502_for_get(balancer: Make) -> None:
    """Where there is a body, its end must be certain, also if the same head was seen before."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"
    with playing(answering(answer)) as server:
        made = balancer(server, maxRetries=0)
        for _ in range(2):
            assert made.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            assert made.ask().startswith(b"HTTP/1.1 502 ")


BROKEN = {
    "too short": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc"),
    "reset": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc", reset=True),
    "chunk cut": saying(CHUNKED + b"5\r\nabc"),
    "no last chunk": saying(CHUNKED + chunk(b"abc")),
    "bad chunk": saying(CHUNKED + chunk(b"abc"), b"xyz\r\n"),
    "reset without a length": saying(b"HTTP/1.1 200 OK\r\n\r\nabc", reset=True),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("request_bytes", [GET, OLD_GET])
def test_a_body_that_breaks_off_is_never_ended_for_the_client(
    balancer: Make, name: str, request_bytes: bytes
) -> None:
    with playing(BROKEN[name]) as server, playing(answering()) as other:
        made = balancer(server, other)
        with made.client() as client:
            client.send(request_bytes)
            client.head()
            with pytest.raises(ConnectionResetError):
                pytest.fail(f"taken for complete: {client.rest()!r}")
        assert made.failures(server.id) == 1
        assert not other.connections


def test_a_body_that_falls_silent_is_cut(balancer: Make) -> None:
    def silent(peer: Peer) -> None:
        peer.message()
        peer.send(CHUNKED + chunk(b"abc"))
        peer.ended()

    with playing(silent) as server:
        made = balancer(server, timeouts={"idle": SHORT})
        with made.client() as client:
            client.send(GET)
            with pytest.raises(ConnectionResetError):
                client.rest()
        assert made.failures(server.id) == 1


def test_more_than_was_promised_is_not_given_to_the_next_client(balancer: Make) -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    with playing(answering(OK + forged), answering()) as server:
        made = balancer(server)
        for _ in range(2):
            assert made.ask().endswith(b"\r\n\r\nok")
        assert server.connections == 2


def test_a_server_that_closes_is_not_kept(balancer: Make) -> None:
    with playing(answering(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) as server:
        with balancer(server).client() as client:
            for _ in range(2):
                response = client.ask()
                assert b"Connection" not in response  # its own matter
            assert server.connections == 2


def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_failure_of_the_server(balancer: Make) -> None:
    ended: list[bool] = []

    def waits(peer: Peer) -> None:
        peer.message()
        peer.send(CHUNKED + chunk(b"abc"))
        ended.append(peer.ended())

    with playing(waits) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(GET)
            client.head()
            client.exactly(8)
        until(lambda: ended == [True])
        assert made.failures(server.id) == 0


def test_a_client_that_takes_nothing_is_cut_and_no_failure_of_the_server(balancer: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (20 * len(LARGE))
    with playing(saying(answer, *[LARGE] * 20)) as server:
        made = balancer(server, timeouts={"idle": SHORT})
        with made.client() as client:
            client.send(GET)
            until(lambda: made.clients() == 1)
            until(lambda: made.clients() == 0)
        assert made.failures(server.id) == 0


def test_a_client_that_was_cut_for_taking_nothing_can_tell(balancer: Make) -> None:
    """Its body would have ended with the connection, so a regular end would look like all of it."""
    with playing(saying(CHUNKED, *[chunk(LARGE)] * 5, last_chunk(b""))) as server:
        made = balancer(server, timeouts={"idle": SHORT})
        with made.client() as client:
            client.send(OLD_GET)
            until(lambda: made.clients() == 1)
            until(lambda: made.clients() == 0)
            with pytest.raises(ConnectionResetError):
                client.rest()


def test_a_body_that_ends_with_the_connection_is_never_ended_by_ours(balancer: Make) -> None:
    """Whoever closes the client's socket: the kernel does when a worker is killed."""
    with playing(saying(CHUNKED + chunk(b"one"), *[b""] * 200)) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(OLD_GET)
            client.head()
            assert client.exactly(3) == b"one"
            next(iter(made.plane._acceptor.clients)).close()
            with pytest.raises(ConnectionResetError):
                client.rest()


def test_a_slow_reader_holds_the_server_back(balancer: Make) -> None:
    sent = 0

    def pours(peer: Peer) -> None:
        nonlocal sent
        peer.message()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while True:
            peer.send(LARGE[:65536])
            sent += 65536

    with playing(pours) as server, balancer(server).client() as client:
        client.send(GET)
        client.head()
        before = -1
        while before < sent:
            before = sent
            gevent.sleep(0.05)
        assert sent < 40_000_000  # what the kernel's buffers hold


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(("method", "head"), [
    (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n"),
    (b"GET", b"HTTP/1.1 204 No\r\n\r\n"),
    (b"GET", b"HTTP/1.1 304 No\r\nContent-Length: 34\r\n\r\n"),
])  # fmt: skip
def test_a_body_that_must_not_be_is_never_taken_for_an_answer(
    balancer: Make, method: bytes, head: bytes, at_once: bool
) -> None:
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"

    def liar(peer: Peer) -> None:
        peer.message()
        peer.send(head + forged if at_once else head)
        if not at_once:
            gevent.sleep(0.01)
            peer.send(forged)
        peer.ended()

    with playing(liar, answering()) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.head().startswith(head[:12])
            until(lambda: server.connections == 1 and not made.plane._servers(server.id)._idle)
            gevent.sleep(0.03)
            assert client.ask().endswith(b"\r\n\r\nok")
        assert server.connections == 2
