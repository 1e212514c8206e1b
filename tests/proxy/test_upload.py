"""Bodies of requests on their way to a server."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import gevent
import gevent.socket
import pytest

from lb.model import ServerId
from lb.proxy import upload
from lb.proxy.body import chunk, last_chunk
from tests.proxy.rig import GET, OK, SHORT, Balancer, Peer, Script, answering, playing, until

Make = Callable[..., Balancer]

LARGE = bytes(range(256)) * 8192  # 2 MiB


def head(method: bytes, length: int) -> bytes:
    return b"%b / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (method, length)


CHUNKED = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(peer: Peer) -> bytes:
    """Read a chunked request; return its data and its trailers."""
    assert b"\r\nTransfer-Encoding: chunked\r\n" in peer.head()
    return chunked_body(peer)


def chunked_body(peer: Peer) -> bytes:
    data = b""
    while size := int(peer.line(), 16):
        data += peer.exactly(size)
        assert peer.exactly(2) == b"\r\n"
    while line := peer.line():
        data += b"|" + line
    return data


def test_a_large_body_arrives_whole_and_the_connections_go_on(balancer: Make) -> None:
    received: list[bytes] = []

    def taking(peer: Peer) -> None:
        while request := peer.message():
            received.append(request.partition(b"\r\n\r\n")[2])
            peer.send(OK)

    with playing(taking) as server, balancer(server).client() as client:
        for _ in range(2):
            assert client.ask(head(b"POST", len(LARGE)) + LARGE).endswith(b"ok")
        assert received == [LARGE, LARGE]
        assert server.connections == 1


def test_chunks_are_framed_anew_and_trailers_come_along(balancer: Make) -> None:
    received: list[bytes] = []

    def taking(peer: Peer) -> None:
        while True:
            received.append(chunks(peer))
            peer.send(OK)

    with playing(taking) as server, balancer(server).client() as client:
        for _ in range(2):
            client.send(CHUNKED + b"3;x=y\r\nabc\r\n")
            gevent.sleep(0.01)
            client.send(chunk(b"def") + last_chunk(b"\r\nX-Sum: 1\r\nContent-Length: 9"))
            assert client.message().endswith(b"ok")
        assert received == [b"abcdef|X-Sum: 1"] * 2
        assert server.connections == 1


@pytest.mark.parametrize("failing", ["garbage", "reset", "unavailable"])
def test_a_body_that_is_kept_is_sent_again_whole(balancer: Make, failing: str) -> None:
    """The first server fails after half of it: what it had is replayed, the rest still comes."""
    answered = gevent.event.Event()
    received: list[bytes] = []

    def bad(peer: Peer) -> None:
        peer.head()
        peer.exactly(500)
        if failing == "garbage":
            peer.send(b"garbage\r\n\r\n")
        elif failing == "unavailable":
            peer.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        else:
            peer.reset()
        answered.set()

    def good(peer: Peer) -> None:
        received.append(peer.message().partition(b"\r\n\r\n")[2])
        peer.send(OK)

    with playing(bad) as first, playing(good) as second:
        made = balancer(first, second)
        with made.client() as client:
            client.send(head(b"PUT", 1000) + LARGE[:500])
            answered.wait()
            until(lambda: second.connections == 1)
            client.send(LARGE[500:1000])
            assert client.message().endswith(b"ok")
        assert received == [LARGE[:1000]]


def test_a_body_too_large_to_keep_is_sent_once(balancer: Make) -> None:
    def bad(peer: Peer) -> None:
        peer.message()
        peer.reset()

    with playing(bad) as first, playing(answering()) as second:
        made = balancer(first, second, limits={"replayBytes": 1000})
        assert made.ask(head(b"PUT", len(LARGE)) + LARGE).startswith(b"HTTP/1.1 502 ")
        assert not second.connections


@pytest.mark.parametrize("sent", [b"", b"abc"])
def test_a_client_that_drips_its_body_is_408_and_no_failure_of_the_server(
    balancer: Make, sent: bytes
) -> None:
    """Also if the server would be late at the same moment: it had no request to answer."""
    with playing(answering()) as server:
        made = balancer(server, timeouts={"clientBody": SHORT, "responseHead": SHORT, "idle": SHORT})
        with made.client() as client:
            client.send(head(b"POST", 10) + sent)
            assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert made.failures(server.id) == 0


def test_a_slow_body_may_take_longer_than_an_answer(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, timeouts={"clientBody": "1s", "responseHead": "100ms"})
        with made.client() as client:
            client.send(head(b"POST", 6) + b"abc")
            gevent.sleep(0.3)
            client.send(b"def")
            assert client.message().endswith(b"ok")


@pytest.mark.parametrize(
    "framing", [head(b"PUT", 10) + b"abc", CHUNKED + b"5\r\nabc", CHUNKED + b"3\r\nabc\r\n"]
)
@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
def test_a_client_that_leaves_in_its_body_never_completes_it(
    balancer: Make, framing: bytes, end: Callable[[Peer], None]
) -> None:
    seen: list[bytes] = []

    def taking(peer: Peer) -> None:
        peer.head()
        try:
            seen.append(peer.rest())
        except ConnectionError:
            seen.append(b"")

    with playing(taking) as server, playing(answering()) as other:
        made = balancer(server, other)
        client = made.client()
        client.send(framing)
        until(lambda: server.connections == 1)
        gevent.sleep(0.01)
        end(client)
        until(lambda: seen)
        assert not seen[0].endswith(b"0\r\n\r\n")
        assert made.failures(server.id) == 0
        assert not other.connections


def test_an_early_answer_arrives_though_the_body_is_not_read(balancer: Make) -> None:
    def early(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig")
        peer.ended()

    with playing(early) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(head(b"POST", 50_000_000) + LARGE[:600_000])
            response = client.rest()
        assert response.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in response
        assert response.endswith(b"big")
        assert server.connections == 1
        assert made.failures(server.id) == 0


def answers_early(received: list[bytes], length: int, response: bytes = OK) -> Script:
    """A script that answers each request as soon as it has the head, and then takes all of the body."""

    def script(peer: Peer) -> None:
        while request := peer.head():
            peer.send(response)
            received.append(chunked_body(peer) if b"chunked" in request else peer.exactly(length))

    return script


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [4, 300_000])
def test_a_server_that_answered_gets_the_rest_and_both_connections_are_kept(
    balancer: Make, chunked: bool, size: int
) -> None:
    received: list[bytes] = []
    rest = b"x" * size
    cut = 6 if chunked else 1
    framed = chunk(b"a") + chunk(rest) + last_chunk(b"") if chunked else b"a" + rest
    with playing(answers_early(received, 1 + size)) as server:
        made = balancer(server)
        with made.client() as client:
            for turn in range(3):
                client.send((CHUNKED if chunked else head(b"POST", 1 + size)) + framed[:cut])
                assert client.message().endswith(b"ok")
                client.send(framed[cut:])
                until(lambda turn=turn: len(received) > turn)  # type: ignore[misc]
        assert received == [b"a" + rest] * 3
        assert server.connections == 1
        assert made.failures(server.id) == 0


@pytest.mark.parametrize(
    ("request_head", "response", "rest"),
    [
        (head(b"POST", upload.REST_BYTES + 100), OK, b""),
        (CHUNKED + chunk(b"x"), OK.replace(b"200 OK", b"401 No"), b""),
        (CHUNKED + chunk(b"x"), OK, chunk(bytes(upload.REST_BYTES + 1)) * 2),
        (head(b"POST", 10), OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b""),
        (head(b"POST", 10), OK, b""),  # and then no more comes
        (head(b"POST", 10).replace(b": a", b": a\r\nExpect: 100-continue"), OK, b""),
    ],
    ids=["large", "unknown", "grows", "server closes", "late", "waits"],
)
def test_more_than_a_small_rest_is_not_passed_on(
    balancer: Make, monkeypatch: pytest.MonkeyPatch, request_head: bytes, response: bytes, rest: bytes
) -> None:
    """Nor one that does not come soon: then the client gets its answer, and both connections end."""
    monkeypatch.setattr(upload, "_REST_SECONDS", 0.2)
    with playing(answers_early([], upload.REST_BYTES * 3, response)) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(request_head)
            assert client.message().endswith(b"ok")
            client.send(rest)
            assert client.rest() == b""
        until(lambda: not made.connections())
        assert made.failures(server.id) == 0


def test_a_client_that_leaves_in_the_rest_of_its_body_never_completes_it(balancer: Make) -> None:
    received: list[bytes] = []
    with playing(answers_early(received, 10)) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(head(b"POST", 10) + b"abc")
            assert client.message().endswith(b"ok")
        until(lambda: received == [b"abc"])


def test_a_server_that_takes_only_part_of_a_request_may_have_answered_it(
    balancer: Make, tmp_path: Path
) -> None:
    """It closes, and what comes on is refused, while the answer waits to be read."""
    place = str(tmp_path / "s")
    listener = gevent.socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()

    def refuse() -> None:
        while True:
            peer = Peer(listener.accept()[0])
            peer.socket.recv(1000)
            peer.send(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\n\r\nbig")
            gevent.sleep(0.02)  # until it is waited for to take more
            peer.close()

    refusing = gevent.spawn(refuse)
    with closing(listener):
        made = balancer(ServerId(f"unix:{place}"), limits={"headerBytes": 400_000})
        for _ in range(3):
            assert made.ask(GET.replace(b"a\r\n", b"a\r\nX: %b\r\n" % (b"x" * 390_000))).endswith(b"big")
    refusing.kill()


def test_a_reset_within_an_early_answer_is_a_cut(balancer: Make) -> None:
    """Also if it is the greenlet that sends the body that is told of it, and the other just of an end."""

    def breaks_off(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        sending = gevent.spawn(peer.send, bytes(32 << 20))
        sending.join(0.3)  # by then nobody takes any more
        sending.kill()
        peer.reset()

    with playing(breaks_off) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(head(b"POST", 500_000_000))
            sending = gevent.spawn(client.send, LARGE * 40)
            until(lambda: server.connections and server.peers[0].socket.closed)
            gevent.sleep(0.05)
            taken = b""
            with suppress(ConnectionResetError):
                while piece := client.socket.recv(65536):
                    taken = piece
            assert not taken.endswith(b"0\r\n\r\n")
            sending.kill()


def streams_early(peer: Peer) -> None:
    """Answer before the body is read, none of which is ever taken, and take a while over it."""
    peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(10):
        peer.send(chunk(b"0123456789"))
        gevent.sleep(0.1)
    peer.send(last_chunk(b""))
    peer.ended()


@pytest.mark.parametrize(
    ("request_head", "rest"),
    [
        (head(b"POST", 50_000_000), b""),
        (head(b"POST", 50_000_000), bytes(40_000_000)),
        (CHUNKED, chunk(b"x" * 100_000) * 100),
        (CHUNKED, b"what is this?\r\n"),
    ],
    ids=["the client sends no more", "the server takes no more", "it is too large", "it is malformed"],
)
def test_an_answer_that_has_begun_does_not_depend_on_the_rest_of_the_body(
    balancer: Make, request_head: bytes, rest: bytes
) -> None:
    with playing(streams_early) as server:
        limits = {"bodyBytes": 100_000 if b"chunked" in request_head else 0}
        made = balancer(server, timeouts={"clientBody": SHORT}, limits=limits)
        with made.client() as client:
            client.send(request_head)
            answer = client.head()
            sending = gevent.spawn(client.send, rest)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert client.rest().endswith(chunk(b"0123456789") * 10 + last_chunk(b""))
            sending.kill()
        assert made.failures(server.id) == 0


def test_a_client_that_takes_none_of_its_answer_is_cut_though_it_still_sends(balancer: Make) -> None:
    def echoes(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        gevent.spawn(peer.rest)
        while True:
            peer.send(chunk(bytes(65536)))

    with playing(echoes) as server:
        made = balancer(server, timeouts={"idle": SHORT, "clientBody": "10s"})
        with made.client() as client:
            client.send(CHUNKED)
            with suppress(ConnectionError):
                while True:
                    client.send(chunk(b"x"))
                    gevent.sleep(0.02)


def test_a_server_that_takes_no_more_of_a_body_is_504(balancer: Make) -> None:
    """It is timed by what is set for servers, not by what clients may take."""

    def stalls(peer: Peer) -> None:
        peer.head()
        gevent.sleep(10)

    with playing(stalls) as server:
        made = balancer(server, timeouts={"clientBody": "1m", "responseHead": SHORT})
        with made.client() as client:
            client.send(head(b"POST", 50_000_000))
            sending = gevent.spawn(lambda: [client.send(LARGE) for _ in range(20)])
            assert client.message().startswith(b"HTTP/1.1 504 ")
            sending.kill()


@pytest.mark.parametrize("leaves", [False, True])
def test_who_falls_silent_once_a_long_body_is_sent_is_noticed(balancer: Make, leaves: bool) -> None:
    """Be it the server, or its client, which leaves."""
    had: list[bytes] = []
    ended: list[bool] = []

    def silent(peer: Peer) -> None:
        peer.head()
        had.append(peer.exactly(10))
        ended.append(peer.ended())

    with playing(silent) as server:
        made = balancer(server, timeouts={"clientBody": "10s", "responseHead": "10s" if leaves else SHORT})
        with made.client() as client:
            client.send(head(b"POST", 10) + b"hello")
            until(lambda: server.connections == 1)
            client.send(b"world")
            until(lambda: had == [b"helloworld"])
            if not leaves:
                assert client.message().startswith(b"HTTP/1.1 504 ")
        until(lambda: ended == [True])
        assert made.failures(server.id) == (0 if leaves else 1)


def test_a_client_may_wait_for_100_continue(balancer: Make) -> None:
    def continues(peer: Peer) -> None:
        request = peer.head()
        assert b"\r\nExpect: 100-continue" in request
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.exactly(3) == b"abc"
        peer.send(OK)

    with playing(continues) as server, balancer(server).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.head().startswith(b"HTTP/1.1 100 ")
        client.send(b"abc")
        assert client.message().endswith(b"ok")


def test_a_body_may_be_as_late_after_100_continue_as_without(balancer: Make) -> None:
    def continues(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.exactly(3) == b"abc"
        peer.send(OK)

    with playing(continues) as server:
        made = balancer(server, timeouts={"clientBody": "5s", "responseHead": "100ms"})
        with made.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert client.head().startswith(b"HTTP/1.1 100 ")
            gevent.sleep(0.4)
            client.send(b"abc")
            assert client.message().endswith(b"ok")


EXPECTING = b"POST / HTTP/1.%d\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("expecting", [EXPECTING % 1, CHUNKED[:-2] + b"expect:100-continue\r\n\r\n"])
def test_until_100_continue_it_is_the_server_that_is_awaited(balancer: Make, expecting: bytes) -> None:
    """RFC 9110 §10.1.1: the client may wait for it, so its silence is the server's."""

    def continues(peer: Peer) -> None:
        peer.head()
        gevent.sleep(0.4)
        peer.send(CONTINUE)
        peer.exactly(3)
        peer.send(OK)

    with playing(continues) as server:
        made = balancer(server, timeouts={"clientBody": "100ms", "responseHead": "5s"})
        with made.client() as client:
            client.send(expecting)
            assert client.head() == CONTINUE
            client.send(b"abc" if expecting == EXPECTING % 1 else chunk(b"abc") + last_chunk(b""))
            assert client.message().endswith(b"ok")


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 10"])
def test_a_server_that_never_continues_is_found_out(balancer: Make, first: bytes) -> None:
    def silent(peer: Peer) -> None:
        peer.head()
        peer.send(first)
        peer.ended()

    with playing(silent) as server, playing(answering()) as other:
        made = balancer(server, other, timeouts={"clientBody": "10s", "responseHead": SHORT})
        with made.client() as client:
            client.send(EXPECTING % 1)
            assert b"HTTP/1.1 504 " in client.rest()
        assert made.failures(server.id) == 1
        assert not other.connections


def test_a_client_that_sends_nothing_after_100_continue_is_408(balancer: Make) -> None:
    def continues(peer: Peer) -> None:
        peer.head()
        peer.send(CONTINUE)
        peer.ended()

    with playing(continues) as server:
        made = balancer(server, timeouts={"clientBody": SHORT, "responseHead": "10s"})
        with made.client() as client:
            client.send(EXPECTING % 1)
            assert client.head() == CONTINUE
            assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert made.failures(server.id) == 0


@pytest.mark.parametrize("asked", [False, True])
def test_a_client_may_send_its_body_without_waiting_for_100_continue(balancer: Make, asked: bool) -> None:
    """From its first byte on it is the client that is awaited, and the server may ask for what it has."""

    def reads(peer: Peer) -> None:
        peer.head()
        assert peer.exactly(1) == b"a"
        peer.send(CONTINUE if asked else b"")
        assert peer.exactly(2) == b"bc"
        peer.send(OK)

    with playing(reads) as server:
        made = balancer(server, timeouts={"clientBody": "5s", "responseHead": SHORT})
        with made.client() as client:
            client.send(EXPECTING % 1)
            until(lambda: server.connections)
            client.send(b"a")
            gevent.sleep(0.5)
            client.send(b"bc")
            assert not asked or client.head() == CONTINUE
            assert client.message().endswith(b"ok")


@pytest.mark.parametrize("begun", [
    EXPECTING % 1 + b"a", EXPECTING % 0, CHUNKED[:-2] + b"Expect: 100-continue\r\n\r\n3\r\n",
])  # fmt: skip
@pytest.mark.parametrize("later", [b"", b"b"])
def test_a_client_that_has_not_waited_and_falls_silent_is_408(
    balancer: Make, begun: bytes, later: bytes
) -> None:
    """Or that does not know how to wait, as with HTTP/1.0."""
    with playing(lambda peer: peer.rest()) as server:
        made = balancer(server, timeouts={"clientBody": SHORT, "responseHead": "10s"})
        with made.client() as client:
            client.send(begun)
            until(lambda: server.connections)
            client.send(later)
            assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert made.failures(server.id) == 0


def test_a_client_that_leaves_while_it_waits_for_100_continue_is_noticed(balancer: Make) -> None:
    ended: list[bool] = []

    def silent(peer: Peer) -> None:
        peer.head()
        ended.append(peer.ended())

    with playing(silent) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(EXPECTING % 1)
            until(lambda: server.connections)
        until(lambda: ended == [True])
        assert made.failures(server.id) == 0


def test_a_refusal_instead_of_100_continue_is_retried_with_the_body_to_come(balancer: Make) -> None:
    def refuses(peer: Peer) -> None:
        while peer.head():
            peer.send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

    def continues(peer: Peer) -> None:
        while peer.head():
            gevent.sleep(0.2)
            peer.send(CONTINUE)
            assert peer.exactly(3) == b"abc"
            peer.send(OK)

    with playing(refuses) as first, playing(continues) as second:
        made = balancer(first, second, timeouts={"clientBody": "100ms", "responseHead": "5s"})
        for _ in range(2):
            with made.client() as client:
                client.send((EXPECTING % 1).replace(b"POST", b"PUT"))
                assert client.head() == CONTINUE
                client.send(b"abc")
                assert client.message().endswith(b"ok")


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\r\n-1\r\n",
        b"5;" + b"x" * 8000 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX : 1\r\n\r\n",
    ],
)
def test_what_is_malformed_from_the_start_reaches_no_server(balancer: Make, body: bytes) -> None:
    with playing(answering()) as server:
        made = balancer(server)
        with made.client() as client:
            client.send(CHUNKED + body)
            assert client.rest().startswith(b"HTTP/1.1 400 ")
        assert server.connections == 0


def test_what_is_too_large_from_the_start_reaches_no_server(balancer: Make) -> None:
    with playing(answering()) as server:
        made = balancer(server, limits={"bodyBytes": 4})
        with made.client() as client:
            client.send(CHUNKED + chunk(b"hello"))
            assert client.rest().startswith(b"HTTP/1.1 413 ")
        assert server.connections == 0


@pytest.mark.parametrize("keeps", [0, 5, 8, 9, 100])
def test_what_came_with_the_head_is_sent_whether_or_not_it_is_kept(balancer: Make, keeps: int) -> None:
    received: list[bytes] = []

    def refuses(peer: Peer) -> None:
        peer.head()
        peer.reset()

    def taking(peer: Peer) -> None:
        while True:
            received.append(chunks(peer))
            peer.send(OK)

    with playing(refuses) as first, playing(taking) as second:
        made = balancer(first, second, limits={"replayBytes": keeps})
        for _ in range(2):
            with made.client() as client:
                client.send(CHUNKED + chunk(b"hello") + b"3\r\nx")
                gevent.sleep(0.02)
                client.send(b"yz\r\n" + last_chunk(b"\r\nX-Sum: 1"))
                client.message()
    assert set(received) == {b"helloxyz|X-Sum: 1"}
