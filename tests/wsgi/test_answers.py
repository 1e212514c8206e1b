from __future__ import annotations

import pytest

from lb.errors import ClientError, LBError, NoEligibleServerError, ServerError
from lb.proxy.client import CutError
from lb.wsgi.answers import Headers, Pieces, head_of, own_answer
from tests.integration.raw import Connection
from tests.wsgi.test_attempt import Play, call, play
from tests.wsgi.test_leases import Noting

__all__ = ["play"]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200 OK", "200 OK"),
        (b"HTTP/1.1 404 No such thing", "404 No such thing"),
        (b"HTTP/1.1 204", "204 No Content"),
        (b"HTTP/1.1 299 ", "299 Unknown"),
    ],
)
def test_a_status_has_a_phrase(line: bytes, status: str) -> None:
    assert head_of(line) == (status, ())


def test_fields_keep_their_order_and_repetitions() -> None:
    _, fields = head_of(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nB:  \xe4 \r\nSet-Cookie:b=2\r\nEmpty:")
    assert fields == (("Set-Cookie", "a=1"), ("B", "\xe4"), ("Set-Cookie", "b=2"), ("Empty", ""))


class Started:
    """What `start_response` was called with."""

    status = ""
    headers: Headers

    def __call__(self, status: str, headers: Headers) -> None:
        self.status, self.headers = status, headers


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ClientError("the head is odd"), "400 Bad Request", "400 Bad Request: the head is odd\n"),
        (
            ServerError("10.0.0.1: secret"),
            "502 Bad Gateway",
            "502 Bad Gateway: no server gave a usable answer\n",
        ),
    ],
)
def test_clients_learn_what_concerns_them(error: LBError, status: str, text: str) -> None:
    start = Started()
    body = own_answer(error, start, method="GET", retry_after_seconds=2, request_id="")
    assert (start.status, body) == (status, [text.encode()])
    assert dict(start.headers) == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(text)),
    }


def test_who_comes_too_early_learns_when_to_come_again() -> None:
    start = Started()
    body = own_answer(
        NoEligibleServerError("none"), start, method="HEAD", retry_after_seconds=2, request_id="7"
    )
    assert body == []
    assert dict(start.headers)["Retry-After"] == "2"
    assert dict(start.headers)["X-Request-Id"] == "7"


def test_a_body_that_is_taken_whole_is_answered(play: Play) -> None:
    def script(connection: Connection) -> None:
        while connection.read_head():
            connection.send(CHUNKED + b"0\r\n\r\n")

    asker, meters = play(script), Noting()
    answer = asker.answer(call())
    pieces = Pieces(answer, asker.released, meters, arrived=0.0)
    assert b"".join(pieces) == b"one"
    pieces.close()
    assert list(pieces) == []
    assert asker.outcome == (True, False)
    assert [what[1:3] for what in meters.noted] == [(asker.id, 200)]
    assert asker.servers(asker.id).take() is answer.connection
    answer.drop()


def test_a_body_of_known_length_is_answered_before_its_last_piece_is_handed_on(play: Play) -> None:
    def script(connection: Connection) -> None:
        connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + bytes(70_000))
        connection.wait_end()

    asker, meters = play(script), Noting()
    pieces = Pieces(asker.answer(call()), asker.released, meters, arrived=0.0)
    got = 0
    while got < 70_000:
        assert asker.released.leases == []
        got += len(next(pieces))
    assert asker.outcome == (True, False)
    assert len(meters.noted) == 1


def test_a_body_that_breaks_off_is_cut_and_a_failure(play: Play) -> None:
    def script(connection: Connection) -> None:
        connection.read_head()
        connection.send(CHUNKED)

    asker, meters = play(script), Noting()
    pieces = Pieces(asker.answer(call()), asker.released, meters, arrived=0.0)
    with pytest.raises(CutError, match="broke off"):
        list(pieces)
    pieces.close()
    assert asker.outcome == (False, True)
    assert [what[1] for what in meters.noted] == ["cut"]


def test_a_client_that_leaves_is_no_failure(play: Play) -> None:
    ended: list[bool] = []

    def script(connection: Connection) -> None:
        connection.read_head()
        connection.send(CHUNKED)
        ended.append(connection.wait_end())

    asker, meters = play(script), Noting()
    pieces = Pieces(asker.answer(call()), asker.released, meters, arrived=0.0)
    assert next(pieces) == b"one"
    pieces.close()
    pieces.close()
    assert asker.outcome == (True, False)
    assert [what[1] for what in meters.noted] == ["gone"]
    assert asker.servers(asker.id).take() is None
