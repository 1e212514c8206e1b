"""What came of an answer's body with its head is judged before anything of it is passed on."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from lb.proxy.body import chunk, last_chunk
from tests.proxy.rig import GET, OK, SHORT, Balancer, Peer, answering, playing

Make = Callable[..., Balancer]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"

MALFORMED = {
    "no size": b"xyz\r\n",
    "no size, and no end of its line": b"x",
    "a negative size": b"-1\r\n",
    "a huge size": b"f" * 17 + b"\r\n",
    "a bare line feed": b"3\nabc\r\n0\r\n\r\n",
    "a longer chunk than was said": b"2\r\nabc\r\n" + last_chunk(b""),
    "a bad chunk behind a good one": chunk(b"abc") + b"xyz\r\n",
    "a bad trailer": chunk(b"abc") + b"0\r\nA : 1\r\n\r\n",
    "too many trailers": chunk(b"abc") + b"0\r\n" + b"A: 1\r\n" * 2000 + b"\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_beginning_of_a_body_is_a_malformed_answer(balancer: Make, name: str) -> None:
    """So another server is asked where that is safe, else it is a 502: not an answer that is cut."""
    with playing(answering(CHUNKED + MALFORMED[name])) as bad, playing(answering()) as good:
        made = balancer(bad, good)
        assert made.ask(GET).endswith(b"ok")
        assert (bad.connections, good.connections) == (1, 1)
        assert made.failures(bad.id) == 1
        other = balancer(bad)
        assert other.ask(POST).startswith(b"HTTP/1.1 502 ")


def test_a_body_that_must_not_be_is_not_read(balancer: Make) -> None:
    with playing(answering(CHUNKED + MALFORMED["no size"])) as server:
        made = balancer(server)
        assert made.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert made.failures(server.id) == 0


@pytest.mark.parametrize(
    "begun", [b"", b"3", b"3\r", b"3\r\n", b"3\r\na", b"3\r\nabc", b"3\r\nabc\r\n0\r\nX: 1"]
)
def test_a_head_does_not_wait_for_its_body(balancer: Make, begun: bytes) -> None:
    """Whatever has come of the first chunk; the rest follows."""
    go_on = gevent.event.Event()
    whole = chunk(b"abc") + last_chunk(b"\r\nX: 1")

    def begins(peer: Peer) -> None:
        peer.message()
        peer.send(CHUNKED + begun)
        go_on.wait()
        peer.send(whole[len(begun) :])

    with playing(begins) as server, balancer(server).client() as client:
        client.send(GET)
        assert b"\r\nTransfer-Encoding: chunked\r\n" in client.head()
        go_on.set()
        data = b""
        while not data.endswith(last_chunk(b"\r\nX: 1")):
            data += client.exactly(1)
        sizes = data.removesuffix(last_chunk(b"\r\nX: 1"))
        assert sizes.translate(None, b"123\r\n") == b"abc"


def test_an_answer_that_is_dropped_for_another_may_be_malformed_further_on(balancer: Make) -> None:
    """It has a head and a beginning, so it counts; its end is nobody's."""
    refusal = CHUNKED.replace(b"200 OK", b"503 No") + chunk(b"abc")
    with playing(answering(refusal)) as bad, playing(answering(OK)) as good:
        made = balancer(bad, good, timeouts={"idle": SHORT})
        for _ in range(2):
            assert made.ask(GET).endswith(b"ok")
        assert made.failures(bad.id) == 0
