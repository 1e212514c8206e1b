"""A server that resets, closes, stalls or lies, at each point of its answer, and what a client sees of that.

A client gets exactly one well-formed response, or a connection that is visibly cut: h11 judges.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack

import gevent
import h11
import pytest

from lb.proxy.body import chunk, last_chunk
from tests.proxy.rig import (
    GET,
    OK,
    SHORT,
    Balancer,
    Peer,
    ScriptedServer,
    answering,
    dies_at_the_second,
    playing,
)

Make = Callable[..., Balancer]

POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

#: What a server has said when it stops; nothing of it is an answer yet.
BEFORE_THE_HEAD = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 20",
    "a status line": b"HTTP/1.1 200 OK\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a head but for its end": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
    "an interim answer": CONTINUE,
    "two of them and a half": CONTINUE * 2 + CONTINUE[:9],
}
#: The same, when the answer has begun.
IN_THE_BODY = {
    "a head": LENGTH,
    "half a body": LENGTH + b"abc",
    "a head of chunks": CHUNKED,
    "half a size": CHUNKED + b"1",
    "a size": CHUNKED + b"5\r\n",
    "half a chunk": CHUNKED + b"5\r\nabc",
    "a chunk without its end": CHUNKED + b"3\r\nabc",
    "a chunk": CHUNKED + chunk(b"abc"),
    "no end of the trailers": CHUNKED + chunk(b"abc") + b"0\r\n",
    "half a trailer": CHUNKED + chunk(b"abc") + b"0\r\nX-Sum",
}
#: What no server may say; the client's answer has not begun, or it has.
LIES_IN_THE_HEAD = {
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a version to come": b"HTTP/3.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a folded line": b"HTTP/1.1 200 OK\r\nA: 1\r\n 2\r\n\r\n",
    "a nul": b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a length and chunks": CHUNKED[:-2] + b"Content-Length: 2\r\n\r\nok",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "chunks twice": CHUNKED[:-2] + CHUNKED[17:] + b"0\r\n\r\n",
    "chunks in 1.0": CHUNKED.replace(b"1.1", b"1.0", 1) + b"0\r\n\r\n",
    "a switch": b"HTTP/1.1 101 No\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "an interim body": b"HTTP/1.1 103 No\r\nContent-Length: 2\r\n\r\nok\r\n\r\n",
    "interim answers without end": (CONTINUE[:-2] + b"X: %b\r\n\r\n" % (b"x" * 1000)) * 500 + OK,
    "too large a head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000 + b"\r\n\r\n",
}
LIES_IN_THE_BODY = {
    "no size": CHUNKED + b"xyz\r\n",
    "a huge size": CHUNKED + b"f" * 17 + b"\r\n",
    "a chunk that is longer than said": CHUNKED + b"2\r\nabc\r\n" + last_chunk(b""),
    "a bad trailer": CHUNKED + b"0\r\nA : 1\r\n\r\n",
}

ENDS: dict[str, Callable[[Peer], object]] = {
    "resets": Peer.reset,
    "closes": Peer.close,
    "stalls": lambda peer: peer.ended(),
}


def saying(data: bytes, end: Callable[[Peer], object]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.message()
        if data:
            peer.send(data)
            gevent.sleep(0.01)  # else a reset may overtake it
        end(peer)

    return script


def outcome(made: Balancer, request: bytes) -> int:
    """Return the status of the one response to a request, 0 if the connection was cut within it."""
    method = request.split(b" ")[0]
    judge = h11.Connection(h11.CLIENT)
    judge.send(h11.Request(method=method, target="/", headers=[("Host", "a"), ("Content-Length", "3")]))
    judge.send(h11.Data(b"abc"))
    judge.send(h11.EndOfMessage())
    statuses: list[int] = []
    with made.client() as client:
        client.send(request.replace(b"Host: a", b"Host: a\r\nConnection: close"))
        while True:
            event = judge.next_event()
            if isinstance(event, h11.Response):
                statuses.append(event.status_code)
            elif isinstance(event, h11.EndOfMessage):
                assert judge.trailing_data[0] == b"" == client.rest()
                assert len(statuses) == 1
                return statuses[0]
            elif event is h11.NEED_DATA:
                try:
                    judge.receive_data(client.socket.recv(65536))
                except ConnectionResetError:
                    return 0


def trouble(made: Balancer, bad: ScriptedServer, request: bytes) -> tuple[int, int]:
    """Return what a client sees, and how often the server that failed was counted as failing."""
    return outcome(made, request), made.failures(bad.id)


FAST = {"responseHead": SHORT, "idle": SHORT}


def limits(end: str) -> dict[str, str]:
    """Short times only for who stalls: a machine that is busy must not seem to."""
    return FAST if end == "stalls" else {}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("said", BEFORE_THE_HEAD)
def test_no_answer_yet(balancer: Make, said: str, end: str) -> None:
    with playing(saying(BEFORE_THE_HEAD[said], ENDS[end])) as bad, playing(answering()) as good:
        made = balancer(bad, good, timeouts=limits(end))
        silent = end == "stalls"
        assert trouble(made, bad, GET) == (504 if silent else 200, 1)
        assert good.connections == (0 if silent else 1)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("said", BEFORE_THE_HEAD)
def test_no_answer_yet_to_what_must_not_be_done_twice(balancer: Make, said: str, end: str) -> None:
    with playing(saying(BEFORE_THE_HEAD[said], ENDS[end])) as bad, playing(answering()) as good:
        made = balancer(bad, good, timeouts=limits(end))
        assert trouble(made, bad, POST) == (504 if end == "stalls" else 502, 1)
        assert not good.connections


@pytest.mark.parametrize("lie", LIES_IN_THE_HEAD)
def test_an_answer_that_is_none(balancer: Make, lie: str) -> None:
    with playing(answering(LIES_IN_THE_HEAD[lie])) as bad, playing(answering()) as good:
        made = balancer(bad, good)
        assert trouble(made, bad, GET) == (200, 1)
        assert bad.connections == good.connections == 1
        assert outcome(balancer(bad), POST) == 502


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("said", IN_THE_BODY)
def test_an_answer_that_breaks_off_is_cut(balancer: Make, said: str, end: str) -> None:
    with playing(saying(IN_THE_BODY[said], ENDS[end])) as bad, playing(answering()) as good:
        assert trouble(balancer(bad, good, timeouts=limits(end)), bad, GET) == (0, 1)
        assert not good.connections


@pytest.mark.parametrize("lie", LIES_IN_THE_BODY)
def test_a_body_that_is_none_is_cut(balancer: Make, lie: str) -> None:
    """If its answer has begun: what is found with the head is no answer."""

    def lies(peer: Peer) -> None:
        peer.message()
        peer.send(CHUNKED)
        gevent.sleep(0.05)  # so it is passed on
        peer.send(LIES_IN_THE_BODY[lie].removeprefix(CHUNKED))
        peer.ended()

    with playing(lies) as bad, playing(answering()) as good:
        assert trouble(balancer(bad, good), bad, GET) == (0, 1)
        assert not good.connections


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_as_many_servers_are_tried_as_the_limit_of_retries_allows(balancer: Make, retries: int) -> None:
    with ExitStack() as stack:
        five = [stack.enter_context(playing(saying(b"", Peer.reset))) for _ in range(5)]
        assert outcome(balancer(*five, maxRetries=retries), GET) == 502
        assert sum(server.connections for server in five) == 1 + retries


@pytest.mark.parametrize("end", [Peer.reset, Peer.close])
def test_a_server_that_hangs_up_on_a_new_connection(balancer: Make, end: Callable[[Peer], None]) -> None:
    with playing(end) as bad, playing(answering()) as good:
        assert outcome(balancer(bad, good), GET) == 200
    with playing(end) as bad, playing(answering()) as good:
        assert outcome(balancer(bad, good), POST) == 502  # it may have been sent


@pytest.mark.parametrize("request_bytes", [GET, POST])
def test_no_connection_in_time_goes_to_the_next_for_every_method(
    balancer: Make, request_bytes: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, playing(answering()) as good:
        with socket.create_connection(full.getsockname()):
            made = balancer(f"127.0.0.1:{full.getsockname()[1]}", good, timeouts={"connect": SHORT})
            assert outcome(made, request_bytes) == 200


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"bc"]])
def test_a_body_goes_again_to_the_fresh_connection(balancer: Make, pieces: list[bytes]) -> None:
    received: list[bytes] = []

    def takes(peer: Peer) -> None:
        received.append(peer.message().partition(b"\r\n\r\n")[2])
        peer.send(OK)

    with playing(dies_at_the_second, takes) as server:
        made = balancer(server, maxRetries=0)
        with made.client() as client:
            client.ask()
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
            for piece in pieces:
                client.send(piece)
                gevent.sleep(0.02)
            assert client.message().endswith(b"ok")
        assert received == [b"abc"]
        assert made.failures(server.id) == 0


def test_a_fresh_connection_that_dies_too_is_a_failure_of_the_server(balancer: Make) -> None:
    with playing(dies_at_the_second, saying(b"", Peer.reset)) as bad, playing(answering()) as good:
        made = balancer(bad, good)
        with made.client() as client:
            for _ in range(3):  # the first two warm up both connections
                assert client.ask().endswith(b"ok")
        assert (bad.connections, made.failures(bad.id)) == (2, 1)


def test_a_client_whose_server_never_sends_100_is_not_left_waiting(balancer: Make) -> None:
    waiting = POST[:-3].replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
    with playing(answering()) as server:
        made = balancer(server, timeouts={"responseHead": SHORT})
        with made.client() as patient, made.client() as impatient:
            patient.send(waiting)
            impatient.send(waiting)
            gevent.sleep(0.05)
            impatient.send(b"abc")
            assert impatient.message().endswith(b"ok")
            assert patient.message().startswith(b"HTTP/1.1 504 ")
        assert made.failures(server.id) == 1
