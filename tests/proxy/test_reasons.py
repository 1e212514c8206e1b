"""What the access log says of each kind of request."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest

from lb.proxy.access_log import AccessLog
from lb.proxy.body import chunk, last_chunk
from tests.proxy.rig import GET, OK, SHORT, Balancer, Peer, answering, endless, playing, refused_port, until

Make = Callable[..., Balancer]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def logged(balancer: Make, path: Path) -> Callable[..., Balancer]:
    """Make balancers that log to `path` as JSON."""
    return lambda *servers, **settings: balancer(
        *servers, accessLog={"path": str(path), "format": "json"}, **settings
    )


def lines(made: Balancer, path: Path, count: int = 1) -> list[dict[str, Any]]:
    """Wait for so many lines, and see to it that there are no more."""
    log = made.plane._access_log
    assert log is not None

    def written() -> list[dict[str, Any]]:
        log.flush()
        return [json.loads(line) for line in path.read_text().splitlines()]

    until(lambda: len(written()) >= count, what="the lines")
    until(lambda: not made.connections())
    assert len(written()) == count
    return written()


def test_a_request_that_went_well(logged: Make, path: Path) -> None:
    with playing(answering(OK)) as server:
        made = logged(server)
        with made.client() as client:
            sizes = [len(client.ask()) for _ in range(3)]
        for line, size in zip(lines(made, path, 3), sizes, strict=True):
            assert line["server"] == server.id
            assert (line["method"], line["target"], line["status"]) == ("GET", "/", 200)
            assert (line["client"], line["attempts"], line["reason"]) == ("127.0.0.1", 1, None)
            assert (line["bytesReceived"], line["bytesSent"]) == (0, size)
            assert 0 <= line["queueSeconds"] <= line["firstByteSeconds"] <= line["totalSeconds"] < 5
        assert [line["connectSeconds"] > 0 for line in lines(made, path, 3)] == [True, False, False]
        assert len({line["requestId"] for line in lines(made, path, 3)}) == 3


def test_bytes_are_of_the_request_that_they_belong_to(logged: Make, path: Path) -> None:
    """Also where requests are pipelined, and bodies come and go in pieces."""
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    echo = b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"y" * 300_000
    with playing(answering(echo)) as server:
        made = logged(server)
        with made.client() as client:
            client.send(post[:50_000])
            gevent.sleep(0.02)
            client.send(post[50_000:] + GET + GET)
            sizes = [len(client.message()) for _ in range(3)]
        found = lines(made, path, 3)
        assert [line["bytesReceived"] for line in found] == [100_000, 0, 0]
        assert [line["bytesSent"] for line in found] == sizes


def test_waiting_and_connecting_and_answering_take_their_time(logged: Make, path: Path) -> None:
    def slow(peer: Peer) -> None:
        peer.message()
        gevent.sleep(0.1)
        peer.send(CHUNKED)
        gevent.sleep(0.1)
        peer.send(last_chunk(b""))

    with playing(slow) as server:
        made = logged(server)
        with made.client() as client:
            client.send(GET)
            client.head()
            client.exactly(5)
        (line,) = lines(made, path)
        assert 0.1 <= line["firstByteSeconds"] < line["totalSeconds"] - 0.09


def test_a_retry_is_counted_and_its_waiting_added(logged: Make, path: Path) -> None:
    with refused_port() as refusing, playing(answering(OK)) as server:
        made = logged(refusing, server)
        for _ in range(2):
            made.ask()
        found = lines(made, path, 2)
        assert {line["server"] for line in found} == {server.id}
        assert max(line["attempts"] for line in found) == 2
        assert {line["reason"] for line in found} == {None}


@pytest.mark.parametrize(
    ("said", "status", "reason", "target"),
    [
        (b"GET\r\n\r\n", 400, "malformed", "GET"),
        (b"\r\nNON SENSE\r\nX: y\r\n\r\n", 400, "malformed", "NON SENSE"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed", "GET / HTTP/1.1"),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "unsupported", "GET / HTTP/3.0"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unsupported", "TRACE / HTTP/1.1"),
        (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 9000), 414, "too-large", None),
        (b"GET /a HTTP/1.1\r\nHos", 408, "slow-client", "GET /a HTTP/1.1"),
        (b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n", 413, "too-large", "/a"),
        (GET, 503, "no-server", "/"),
    ],
)
def test_what_the_balancer_answered_itself(
    logged: Make, path: Path, said: bytes, status: int, reason: str, target: str | None
) -> None:
    made = logged(timeouts={"clientHeader": SHORT}, limits={"bodyBytes": 50})
    with made.client() as client:
        got = client.ask(said)
        (line,) = lines(made, path)
        assert (line["status"], line["reason"], line["server"], line["attempts"]) == (status, reason, None, 0)
        assert line["target"] == target or (target is None and line["target"].startswith("GET /xxx"))
        assert (line["bytesReceived"], line["bytesSent"]) == (0, len(got))
        assert line["firstByteSeconds"] is None
        assert line["totalSeconds"] < 1, "without the time that a client takes to leave"


def dying(peer: Peer) -> None:
    peer.message()
    peer.reset()


def silent(peer: Peer) -> None:
    peer.message()
    peer.ended()


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        (dying, 502, "reset"),
        (silent, 504, "timeout"),
        (answering(b"nonsense\r\n\r\n"), 502, "bad-response"),
    ],
)
def test_servers_that_fail(
    logged: Make, path: Path, script: Callable[[Peer], None], status: int, reason: str
) -> None:
    with playing(script) as server:
        made = logged(server, timeouts={"responseHead": SHORT}, maxRetries=0)
        made.ask()
        (line,) = lines(made, path)
        assert (line["status"], line["reason"], line["server"]) == (status, reason, server.id)


def test_a_server_that_cannot_be_reached(logged: Make, path: Path) -> None:
    with refused_port() as refusing:
        made = logged(refusing, maxRetries=0)
        made.ask()
        (line,) = lines(made, path)
        assert (line["status"], line["reason"], line["server"]) == (502, "connect", refusing)
        assert line["connectSeconds"] > 0


def breaking_off(peer: Peer) -> None:
    peer.message()
    peer.send(CHUNKED + chunk(b"abc"))
    gevent.sleep(0.01)
    peer.close()


def falling_silent(peer: Peer) -> None:
    peer.message()
    peer.send(CHUNKED + chunk(b"abc"))
    peer.ended()


@pytest.mark.parametrize(("script", "reason"), [(breaking_off, "cut"), (falling_silent, "timeout")])
def test_responses_that_break_off(
    logged: Make, path: Path, script: Callable[[Peer], None], reason: str
) -> None:
    with playing(script) as server:
        made = logged(server, timeouts={"idle": SHORT})
        with made.client() as client:
            client.send(GET)
            client.head()
            client.exactly(8)
            assert client.ended()
        (line,) = lines(made, path)
        assert (line["status"], line["reason"], line["server"]) == (200, reason, server.id)


def test_a_client_that_leaves_before_its_answer(logged: Make, path: Path) -> None:
    with playing(silent) as server:
        made = logged(server)
        with made.client() as client:
            client.send(GET)
            until(lambda: server.connections)
        (line,) = lines(made, path)
        assert (line["status"], line["reason"], line["bytesSent"]) == (499, "client-gone", 0)


def test_a_client_that_leaves_within_its_answer(logged: Make, path: Path) -> None:
    with playing(endless) as server:
        made = logged(server)
        with made.client() as client:
            client.send(GET)
            client.exactly(100_000)
        (line,) = lines(made, path)
        assert (line["status"], line["reason"]) == (200, "client-gone")
        assert line["bytesSent"] > 100_000


def test_a_client_that_takes_nothing(logged: Make, path: Path) -> None:
    huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 99_999_999
    with playing(answering(huge)) as server:
        made = logged(server, timeouts={"idle": SHORT})
        with made.client() as client:
            client.send(GET)
            (line,) = lines(made, path)
        assert (line["status"], line["reason"]) == (200, "slow-client")


def test_a_body_that_comes_too_slowly(logged: Make, path: Path) -> None:
    with playing(lambda peer: peer.rest()) as server:
        made = logged(server, timeouts={"clientBody": SHORT})
        made.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nabc")
        (line,) = lines(made, path)
        assert (line["status"], line["reason"]) == (408, "slow-client")


def test_a_tunnel_is_logged_when_it_ends(logged: Make, path: Path) -> None:
    def switching(peer: Peer) -> None:
        peer.message()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        peer.send(peer.exactly(1000))
        peer.close()

    asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    with playing(switching) as server:
        made = logged(server)
        with made.client() as client:
            client.send(asked)
            head = client.head()
            client.send(b"x" * 1000)
            client.exactly(1000)
        (line,) = lines(made, path)
        assert (line["status"], line["reason"]) == (101, None)
        assert line["bytesReceived"] == 1000
        assert line["bytesSent"] == len(head) + 1000


@pytest.mark.parametrize("begun", [True, False])
def test_what_is_cut_at_a_stop(logged: Make, path: Path, begun: bool) -> None:
    with playing(falling_silent if begun else silent) as server:
        made = logged(server)
        with made.client() as client, made.client() as idle:
            client.send(GET)
            if begun:
                client.head()
                client.exactly(8)
            until(lambda: server.connections == 1)
            assert idle is not client
            assert made.plane.stop(0.05) == 1
            (line,) = [json.loads(line) for line in path.read_text().splitlines()]
        assert (line["status"], line["reason"]) == (200 if begun else None, "stopped")
        assert line["server"] == server.id


def test_requests_that_finish_while_it_stops_are_logged(logged: Make, path: Path) -> None:
    def slow(peer: Peer) -> None:
        peer.message()
        gevent.sleep(0.1)
        peer.send(OK)

    with playing(slow) as server:
        made = logged(server)
        with made.client() as client:
            client.send(GET)
            until(lambda: server.connections)
            assert made.plane.stop(5) == 0
            assert [json.loads(line)["status"] for line in path.read_text().splitlines()] == [200]


def test_without_a_log_nothing_is_noted(balancer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(AccessLog, "note")
    with playing(answering(OK)) as server:
        assert balancer(server).ask().startswith(b"HTTP/1.1 200")
    assert balancer().ask().startswith(b"HTTP/1.1 503")
